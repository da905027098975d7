//! The archive, served on loopback.

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    response::Redirect,
    routing::get,
};
use flate2::{Compression, write::GzEncoder};
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;

#[tokio::test]
async fn a_good_archive_is_unpacked() {
    let folder = served(&archive(&good()), None).await.unwrap();
    for name in ["etcd", "kube-apiserver", "kubectl"] {
        let path = folder.path().join(name);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("I am {name}"));
        assert!(
            std::process::Command::new("test")
                .arg("-x")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
    }
}

#[tokio::test]
async fn an_archive_with_another_sum_is_not_unpacked() {
    let error = served(&archive(&good()), Some("00".repeat(64)))
        .await
        .unwrap_err();
    assert!(matches!(error, EnvtestError::WrongSum(_)), "{error:?}");
}

#[tokio::test]
async fn a_truncated_archive_is_refused() {
    let whole = archive(&good());
    let half = &whole[..whole.len() / 2];
    let error = served(half, Some(sum(&whole))).await.unwrap_err();
    assert!(matches!(error, EnvtestError::WrongSum(_)), "{error:?}");
    let error = served(half, None).await.unwrap_err();
    assert!(matches!(error, EnvtestError::Unpack(_)), "{error:?}");
}

#[tokio::test]
async fn an_entry_outside_of_the_archive_is_refused() {
    for path in ["../etcd", "envtest/../../etcd", "/etc/etcd"] {
        let mut entries = good();
        entries.insert(0, (path, EntryType::Regular));
        let error = served(&archive(&entries), None).await.unwrap_err();
        assert!(
            matches!(error, EnvtestError::Forbidden(_)),
            "{path}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_link_is_refused() {
    let mut entries = good();
    entries.push(("envtest/helm", EntryType::Symlink));
    let error = served(&archive(&entries), None).await.unwrap_err();
    assert!(matches!(error, EnvtestError::Forbidden(_)), "{error:?}");
}

#[tokio::test]
async fn an_archive_without_kubectl_is_refused() {
    let mut entries = good();
    entries.retain(|(path, _)| !path.ends_with("kubectl"));
    let error = served(&archive(&entries), None).await.unwrap_err();
    assert!(
        matches!(error, EnvtestError::Missing(Tool::Kubectl)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_version_that_is_not_in_the_index_is_named() {
    let index = serve(Router::new().route("/index", get("releases: {}"))).await;
    let folder = tempfile::tempdir().unwrap();
    let error = download(&settings(&index), folder.path())
        .await
        .unwrap_err();
    let EnvtestError::Unpublished(name) = error else {
        panic!("{error:?}")
    };
    assert!(name.starts_with("envtest-v1.36.3-"));
}

#[tokio::test]
async fn an_index_that_cannot_be_had_is_an_error() {
    let missing = serve(Router::new()).await;
    let folder = tempfile::tempdir().unwrap();
    let error = download(&settings(&missing), folder.path())
        .await
        .unwrap_err();
    let status = StatusCode::NOT_FOUND.as_u16();
    assert!(
        matches!(&error, EnvtestError::Download(DownloadError::Refused { status: s, .. }) if *s == status),
        "{error:?}"
    );
}

/// Virtual time: each piece comes soon enough, and there is no end of them.
#[tokio::test(start_paused = true)]
async fn a_server_that_never_ends_is_given_up() {
    let endless =
        get(|| async { axum::body::Body::from_stream(futures::stream::unfold((), drip)) });
    let address = serve(Router::new().route("/index", endless)).await;
    let folder = tempfile::tempdir().unwrap();
    let error = download(&settings(&address), folder.path())
        .await
        .unwrap_err();
    assert!(matches!(error, EnvtestError::Patience), "{error:?}");
}

async fn drip((): ()) -> Option<(Result<&'static str, std::convert::Infallible>, ())> {
    tokio::time::sleep(Duration::from_secs(10)).await;
    Some((Ok("# more to come\n"), ()))
}

fn good() -> Vec<(&'static str, EntryType)> {
    vec![
        ("controller-tools/", EntryType::Directory),
        ("controller-tools/envtest/etcd", EntryType::Regular),
        (
            "controller-tools/envtest/kube-apiserver",
            EntryType::Regular,
        ),
        ("controller-tools/envtest/kubectl", EntryType::Regular),
    ]
}

/// The names are written as they are: the builder of the crate would refuse the bad ones itself.
fn archive(entries: &[(&str, EntryType)]) -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, kind) in entries {
        let name = path.rsplit('/').next().unwrap();
        let text = if kind.is_file() {
            format!("I am {name}")
        } else {
            String::new()
        };
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(text.len() as u64);
        header.set_cksum();
        builder.append(&header, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

fn sum(bytes: &[u8]) -> String {
    hexadecimal(ring::digest::digest(&SHA512, bytes).as_ref())
}

/// Downloads `archive` from a server of its own; the index has its sum unless another is given.
async fn served(archive: &[u8], hash: Option<String>) -> Result<TempDir, EnvtestError> {
    let address = publish(archive, hash).await;
    let folder = tempfile::tempdir().unwrap();
    download(&settings(&address), folder.path())
        .await
        .map(|()| folder)
}

/// A server with an index and an archive behind a redirect, as GitHub has it.
async fn publish(archive: &[u8], hash: Option<String>) -> String {
    let hash = hash.unwrap_or_else(|| sum(archive));
    let body = archive.to_vec();
    let name = format!("envtest-v1.36.3-{}.tar.gz", platform());
    let index = move |headers: HeaderMap| async move {
        let host = headers["host"].to_str().unwrap().to_owned();
        let link = format!("http://{host}/archive");
        format!("releases: {{ v1.36.3: {{ {name}: {{ hash: {hash}, selfLink: \"{link}\" }} }} }}")
    };
    let router = Router::new()
        .route("/index", get(index))
        .route(
            "/archive",
            get(|| async { Redirect::temporary("/elsewhere") }),
        )
        .route("/elsewhere", get(|| async { body }));
    serve(router).await
}

/// The settings under which a good archive is found.
pub(in crate::sandbox::assets) async fn published() -> Settings {
    settings(&publish(&archive(&good()), None).await)
}

async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

fn settings(address: &str) -> Settings {
    Settings {
        kubebuilder_assets: None,
        cache: None,
        kubernetes: "1.36.3".parse().unwrap(),
        envtest_index: format!("http://{address}/index"),
    }
}
