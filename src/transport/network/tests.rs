//! Over loopback sockets, with servers that misbehave in one way each.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

fn network(addresses: AddressPolicy) -> Network {
    Network::new(&NetworkOptions {
        body_limit: 64,
        addresses,
        ..NetworkOptions::default()
    })
    .unwrap()
}

fn loopback() -> AddressPolicy {
    AddressPolicy::strict()
        .allow_private("127.0.0.1")
        .allow_plain_http("127.0.0.1")
        .allow_private("localhost")
        .allow_plain_http("localhost")
}

fn request(method: Method, url: &str) -> Request<Bytes> {
    Request::builder()
        .method(method)
        .uri(url)
        .body(Bytes::from_static(b"{}"))
        .unwrap()
}

async fn send(network: &Network, url: &str) -> Result<Response<Bytes>, TransportError> {
    network.send(request(Method::POST, url)).await
}

/// A server that hands each accepted connection to `serve`, and counts them.
async fn serve<F, Fut>(serve: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve(stream));
        }
    });
    (address, accepted)
}

/// Answers every request on every connection with `answer`; returns when the peer goes away.
async fn answer_with(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: String) {
    let mut buffer = vec![0; 4096];
    while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn serve_answer(answer: impl Into<String>) -> (SocketAddr, Arc<AtomicUsize>) {
    let answer = answer.into();
    serve(move |stream| answer_with(stream, answer.clone())).await
}

#[tokio::test]
async fn an_answer_arrives_whole() {
    let (address, _) = serve_answer(OK).await;
    let answer = send(&network(loopback()), &format!("http://{address}/x")).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(&answer.body()[..], b"{}");
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let answer = send(&network(loopback()), &format!("https://{address}/")).await;
    assert_eq!(answer.unwrap_err(), TransportError::NotSent);
}

#[tokio::test]
async fn an_unknown_host_is_not_sent() {
    let answer = send(&network(loopback()), "https://no-such-host.invalid/").await;
    assert_eq!(answer.unwrap_err(), TransportError::NotSent);
}

#[tokio::test]
async fn a_failed_handshake_is_not_sent() {
    let (address, accepted) = serve_answer("this is not TLS\r\n\r\n").await;
    let answer = send(&network(loopback()), &format!("https://{address}/")).await;
    assert_eq!(answer.unwrap_err(), TransportError::NotSent);
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_113_plain_http_to_a_host_that_is_not_allowed_is_not_sent() {
    let (address, accepted) = serve_answer(OK).await;
    let url = format!("http://{address}/");
    let elsewhere = AddressPolicy::strict()
        .allow_private("127.0.0.1")
        .allow_plain_http("localhost");
    for policy in [
        AddressPolicy::strict().allow_private("127.0.0.1"),
        elsewhere,
    ] {
        let answer = send(&network(policy), &url).await;
        assert_eq!(answer.unwrap_err(), TransportError::NotSent);
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_handshake_that_hangs_is_unknown() {
    let (address, _) = serve(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let network = Network::new(&NetworkOptions {
        timeout: Duration::from_millis(200),
        addresses: loopback(),
        ..NetworkOptions::default()
    });
    let answer = send(&network.unwrap(), &format!("https://{address}/")).await;
    assert_eq!(answer.unwrap_err(), TransportError::Unknown);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_unknown() {
    let (in_head, _) = serve(|mut stream| async move {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await;
        let _ = stream.write_all(b"H").await;
    })
    .await;
    let (in_body, _) = serve(|mut stream| async move {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await;
        let _ = stream
            .write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 40\r\n\r\n{\"id\":")
            .await;
    })
    .await;
    let (before_answer, _) = serve(|mut stream| async move {
        let mut buffer = [0; 4096];
        let _ = stream.read(&mut buffer).await;
    })
    .await;
    for address in [in_head, in_body, before_answer] {
        let answer = send(&network(loopback()), &format!("http://{address}/")).await;
        assert_eq!(answer.unwrap_err(), TransportError::Unknown);
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let (target, reached) = serve_answer(OK).await;
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{target}/\r\ncontent-length: 0\r\n\r\n"
    );
    let (address, _) = serve_answer(redirect).await;
    let answer = send(&network(loopback()), &format!("http://{address}/")).await;
    assert_eq!(answer.unwrap().status(), 307);
    assert_eq!(reached.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_oversize_answer_is_unknown() {
    let fits = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 64\r\n\r\n{}",
        "x".repeat(64)
    );
    let over = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 65\r\n\r\n{}",
        "x".repeat(65)
    );
    let (fits, _) = serve_answer(fits).await;
    let (over, _) = serve_answer(over).await;
    let network = network(loopback());
    let answer = send(&network, &format!("http://{fits}/")).await.unwrap();
    assert_eq!(answer.body().len(), 64);
    let answer = send(&network, &format!("http://{over}/")).await;
    assert_eq!(answer.unwrap_err(), TransportError::Unknown);
}

#[tokio::test]
async fn a_103_a_private_address_is_never_dialled_unless_its_host_is_allowed() {
    let (address, accepted) = serve_answer(OK).await;
    let port = address.port();
    let number = u32::from(std::net::Ipv4Addr::LOCALHOST);
    let network = network(
        AddressPolicy::strict()
            .allow_plain_http("127.0.0.1")
            .allow_plain_http("localhost")
            .allow_plain_http("::1")
            .allow_private("elsewhere"),
    );
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "0x7f.1",
        &number.to_string(),
    ] {
        for scheme in ["http", "https"] {
            let answer = send(&network, &format!("{scheme}://{host}:{port}/")).await;
            assert_eq!(
                answer.unwrap_err(),
                TransportError::NotSent,
                "{scheme} {host}"
            );
        }
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_is_allowed_by_name_may_resolve_to_a_private_address() {
    let (address, _) = serve_answer(OK).await;
    let url = format!("http://localhost:{}/", address.port());
    assert_eq!(
        send(&network(loopback()), &url).await.unwrap().status(),
        200
    );
}

#[tokio::test]
async fn every_create_gets_a_connection_of_its_own() {
    let (address, accepted) = serve_answer(OK).await;
    let network = network(loopback());
    let url = format!("http://{address}/");
    for _ in 0..10 {
        network.send(request(Method::GET, &url)).await.unwrap();
    }
    let by_others = accepted.load(Ordering::SeqCst);
    assert!(by_others < 10, "connections are reused");
    for _ in 0..3 {
        network.send(request(Method::POST, &url)).await.unwrap();
    }
    assert_eq!(accepted.load(Ordering::SeqCst), by_others + 3);
}

#[test]
fn setting_up_fails_without_repeating_the_value() {
    let with = |ca_bundle: Option<&str>, proxy: Option<&str>| {
        Network::new(&NetworkOptions {
            ca_bundle: ca_bundle.map(|pem| pem.as_bytes().to_vec()),
            proxy: proxy.map(str::to_owned),
            ..NetworkOptions::default()
        })
        .unwrap_err()
    };
    assert_eq!(with(Some("not pem"), None), NetworkError::CaBundle);
    let proxy = with(None, Some("ftp://user:canary@proxy"));
    assert_eq!(proxy, NetworkError::Proxy);
    assert!(!format!("{proxy} {proxy:?}").contains("canary"));
}

#[test]
fn credentials_in_headers_are_marked() {
    let mut headers = HeaderMap::new();
    headers.insert(header::AUTHORIZATION, "Bearer canary".parse().unwrap());
    headers.insert(header::COOKIE, "errova_session=canary".parse().unwrap());
    mark_sensitive(&mut headers);
    assert!(!format!("{headers:?}").contains("canary"));
}

/// A certificate for `localhost` that only its own bundle vouches for.
fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

async fn serve_tls(certified: &CertifiedKey<KeyPair>) -> (SocketAddr, Arc<AtomicUsize>) {
    install_crypto();
    let chain: Vec<CertificateDer<'_>> = vec![certified.cert.der().clone()];
    let key = PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let answered = Arc::new(AtomicUsize::new(0));
    let count = answered.clone();
    let (address, _) = serve(move |stream| {
        let (acceptor, count) = (acceptor.clone(), count.clone());
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                count.fetch_add(1, Ordering::SeqCst);
                answer_with(stream, OK.to_owned()).await;
            }
        }
    })
    .await;
    (address, answered)
}

fn trusting(pem: Option<String>) -> Network {
    Network::new(&NetworkOptions {
        addresses: loopback(),
        ca_bundle: pem.map(String::into_bytes),
        ..NetworkOptions::default()
    })
    .unwrap()
}

#[tokio::test]
async fn a_ca_bundle_vouches_for_a_private_provider() {
    let certified = certificate();
    let (address, _) = serve_tls(&certified).await;
    let network = trusting(Some(certified.cert.pem()));
    let url = format!("https://localhost:{}/", address.port());
    assert_eq!(send(&network, &url).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_113_a_wrong_certificate_or_name_is_not_sent() {
    let certified = certificate();
    let (address, answered) = serve_tls(&certified).await;
    for (bundle, host) in [
        (None, "localhost"),
        (Some(certificate().cert.pem()), "localhost"),
        (Some(certified.cert.pem()), "127.0.0.1"),
    ] {
        let url = format!("https://{host}:{}/", address.port());
        let answer = send(&trusting(bundle), &url).await;
        assert_eq!(answer.unwrap_err(), TransportError::NotSent, "{host}");
    }
    assert_eq!(answered.load(Ordering::SeqCst), 0);
}

#[test]
fn nothing_that_could_hold_a_password_is_printed() {
    let options = NetworkOptions {
        proxy: Some("http://user:canary@proxy.internal:3128".to_owned()),
        ..NetworkOptions::default()
    };
    let network = Network::new(&options).unwrap();
    assert!(!format!("{options:?} {network:?}").contains("canary"));
}

#[tokio::test]
async fn a_proxy_is_used_where_the_installation_names_one() {
    let (proxy, reached) = serve_answer(OK).await;
    let network = Network::new(&NetworkOptions {
        addresses: AddressPolicy::strict().allow_plain_http("errova.example"),
        proxy: Some(format!("http://{proxy}")),
        ..NetworkOptions::default()
    })
    .unwrap();
    let answer = send(&network, "http://errova.example/").await;
    assert_eq!(answer.unwrap().status(), 200);
    assert_eq!(reached.load(Ordering::SeqCst), 1);
}
