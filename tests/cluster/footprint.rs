//! What the shipped binary weighs, on disk and in memory, with a real API server and a real wire.
//!
//! ```sh
//! cargo build --release
//! HANDOVER_BINARY=target/release/handover cargo test --test cluster footprint -- --ignored --nocapture
//! ```
//!
//! Without `HANDOVER_BINARY` it is the debug build's.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream};
use kube::api::ListParams;
use serde_json::json;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use crate::{
    place::Place,
    plane::OPERATOR,
    world::{SYSTEM, World},
};

const TOKENS: usize = 1_000;

/// How long it may take until all of them are issued.
const PATIENCE: Duration = Duration::from_secs(900);

/// After this nothing is under way any more.
const QUIET: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes, and figures of a debug build say little"]
async fn footprint_of_the_operator() {
    let binary = binary();
    let size = fs::metadata(&binary).unwrap().len();
    eprintln!("{}: {:.1} MB", binary.display(), megabytes(size));

    let world = Arc::new(World::install(&["web"]).await);
    let place = Place::new(&world, "web").await;
    let fast = json!({ "requests": { "perMinute": 6000 } });
    place.change_connection(fast).await.unwrap();
    let operator = start(&world, &binary);
    let connected = async || {
        place
            .connection_ready()
            .await
            .is_some_and(|c| c.status == "True")
    };
    place
        .until(PATIENCE, "the connection works", connected)
        .await;
    sleep(QUIET).await;
    report(&operator, 0);

    let begun = Instant::now();
    let tenant = &place;
    let asked = stream::iter(0..TOKENS).for_each_concurrent(16, |n| async move {
        tenant.ask(&format!("token-{n}"), json!({})).await.unwrap();
    });
    asked.await;
    let all_ready = async || {
        sleep(Duration::from_secs(1)).await; // a list of all of them is no small question
        ready(&place).await == TOKENS
    };
    place.until(PATIENCE, "all are ready", all_ready).await;
    eprintln!(
        "{TOKENS} tokens ready in {:.0} s",
        begun.elapsed().as_secs_f32()
    );
    sleep(QUIET).await;
    report(&operator, TOKENS);
}

#[expect(clippy::disallowed_methods, reason = "the setting of this measurement")]
fn binary() -> PathBuf {
    let given = std::env::var("HANDOVER_BINARY").ok();
    given.map_or_else(|| env!("CARGO_BIN_EXE_handover").into(), PathBuf::from)
}

/// As the chart starts it, but for a port that is free.
fn start(world: &World, binary: &Path) -> Child {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr();
    let log = fs::File::create(world.plane.folder().join("operator.log")).unwrap();
    Command::new(binary)
        .arg("run")
        .arg(format!("--namespace={SYSTEM}"))
        .arg(format!("--admin-address={}", port.unwrap()))
        .env("KUBECONFIG", world.plane.kubeconfig(OPERATOR).unwrap())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn ready(place: &Place) -> usize {
    let tokens = place.tokens().list(&ListParams::default()).await.unwrap();
    let statuses = tokens.items.into_iter().filter_map(|token| token.status);
    let ready = statuses.filter(|status| {
        let mut conditions = status.conditions.iter();
        conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
    });
    ready.count()
}

fn report(operator: &Child, tokens: usize) {
    let status = fs::read_to_string(format!("/proc/{}/status", operator.id().unwrap())).unwrap();
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.split_whitespace().next());
        number.unwrap().parse::<u64>().unwrap()
    };
    eprintln!(
        "{tokens:>5} tokens: RSS {:.1} MB, at most {:.1} MB so far",
        megabytes(kilobytes("VmRSS:") * 1024),
        megabytes(kilobytes("VmHWM:") * 1024)
    );
}

/// Of a million bytes each.
fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1000).unwrap()) / 1000.0
}
