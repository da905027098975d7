//! The order of the four ways.

use std::fs;

use tempfile::TempDir;

use super::{envtest::tests::published, *};

/// Nothing is published, nothing is pinned, and the cache is empty.
fn barren(cache: &TempDir) -> Settings {
    Settings {
        kubebuilder_assets: None,
        cache: Some(cache.path().to_owned()),
        kubernetes: "1.2.3".parse().unwrap(),
        envtest_index: "http://127.0.0.1:1/index".to_owned(),
    }
}

fn assets(settings: Settings) -> Assets {
    Assets::new(settings, Progress::silent())
}

#[tokio::test]
async fn without_any_of_the_four_ways_the_error_names_them_all() {
    let cache = tempfile::tempdir().unwrap();
    let error = assets(barren(&cache))
        .path(Tool::KubeApiserver)
        .await
        .unwrap_err()
        .to_string();
    let expected = [
        "KUBEBUILDER_ASSETS",
        "the cache /",
        "127.0.0.1:1/index",
        "a build with Go",
        "1.2.3",
    ];
    for words in expected {
        assert!(error.contains(words), "{words:?} is missing in: {error}");
    }
}

#[tokio::test]
async fn kubebuilder_assets_go_before_the_cache() {
    let (cache, given) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut settings = barren(&cache);
    let cached = Cache::new(cache.path(), &settings.kubernetes);
    fs::create_dir_all(cached.folder()).unwrap();
    fs::write(cached.path(Tool::Etcd), "cached").unwrap();
    fs::write(cached.path(Tool::Kubectl), "cached").unwrap();
    fs::write(given.path().join("etcd"), "given").unwrap();
    settings.kubebuilder_assets = Some(given.path().to_owned());

    let paths = assets(settings)
        .paths(&[Tool::Etcd, Tool::Kubectl])
        .await
        .unwrap();
    let contents: Vec<_> = paths
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    assert_eq!(contents, ["given", "cached"]);
}

#[tokio::test]
async fn what_was_downloaded_once_is_in_the_cache() {
    let cache = tempfile::tempdir().unwrap();
    let mut settings = published().await;
    settings.cache = Some(cache.path().to_owned());
    let first = assets(settings.clone());
    let path = first.path(Tool::KubeApiserver).await.unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "I am kube-apiserver");

    settings.envtest_index = "http://127.0.0.1:1/index".to_owned();
    let second = assets(settings);
    assert_eq!(second.path(Tool::KubeApiserver).await.unwrap(), path);
    assert_eq!(
        second.path(Tool::Etcd).await.unwrap(),
        path.with_file_name("etcd")
    );
}

#[tokio::test]
async fn whoever_waited_for_the_lock_finds_the_binary_in_the_cache() {
    let root = tempfile::tempdir().unwrap();
    let settings = barren(&root);
    let cache = Cache::new(root.path(), &settings.kubernetes);
    let lock = cache.lock(Tool::Etcd, Progress::silent()).await.unwrap();
    let assets = assets(settings);
    let waiting = assets.path(Tool::Etcd);
    let other = async {
        tokio::task::yield_now().await;
        let staging = cache.staging().unwrap();
        fs::write(staging.path().join("etcd"), "made by another").unwrap();
        cache.publish(Tool::Etcd, &staging).unwrap();
        drop(lock);
    };
    let (path, ()) = tokio::join!(waiting, other);
    assert_eq!(
        fs::read_to_string(path.unwrap()).unwrap(),
        "made by another"
    );
}

#[tokio::test]
async fn what_a_killed_process_left_behind_is_removed() {
    let root = tempfile::tempdir().unwrap();
    let cache = Cache::new(root.path(), &"1.2.3".parse().unwrap());
    fs::create_dir_all(cache.folder()).unwrap();
    let rubbish = cache.staging().unwrap().keep();
    let _lock = cache.lock(Tool::Etcd, Progress::silent()).await.unwrap();
    assert!(!rubbish.exists());
}

#[test]
fn binaries_from_different_folders_are_linked_into_one() {
    let (root, given) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let cache = Cache::new(root.path(), &"1.2.3".parse().unwrap());
    fs::create_dir_all(cache.folder()).unwrap();
    let paths = [given.path().join("etcd"), cache.path(Tool::Helm)];
    fs::write(&paths[0], "given").unwrap();
    fs::write(&paths[1], "cached").unwrap();
    for _ in 0..2 {
        let folder = cache.link(&paths).unwrap();
        assert_eq!(fs::read_to_string(folder.join("etcd")).unwrap(), "given");
        assert_eq!(fs::read_to_string(folder.join("helm")).unwrap(), "cached");
    }
}
