//! A workload that uses the token all the time, as the Pods of `examples/sandbox/4-consumer.yaml` would.
//!
//! It loads the value from the target Secret once a second, as a volume follows its Secret late, and
//! authenticates with what it holds at every tick. One refusal is one outage.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _};
use tokio::{
    task::JoinHandle,
    time::{Instant, MissedTickBehavior, interval},
};

use super::provider::Provider;
use crate::{api::annotations, secret_value::SecretValue};

const TICK: Duration = Duration::from_millis(25);
/// How late it learns of a new value at most.
const RELOAD: Duration = Duration::from_secs(1);

/// What it has seen so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// How often it authenticated.
    pub(super) ticks: u64,
    /// How often its value was refused.
    pub(super) refused: u64,
    /// How often there was no answer.
    pub(super) unanswered: u64,
    /// The id of the credential that it holds.
    pub(super) holds: Option<String>,
}

/// A workload at work; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Consumer {
    tally: Arc<Mutex<Tally>>,
    task: JoinHandle<()>,
}

/// A value as it was loaded.
struct Loaded {
    id: Option<String>,
    value: SecretValue,
}

impl Consumer {
    /// Reads the key `token` of Secret `name`.
    pub(super) fn start(secrets: Api<Secret>, name: &'static str, provider: Arc<Provider>) -> Self {
        let tally = Arc::<Mutex<Tally>>::default();
        let task = tokio::spawn(work(secrets, name, provider, tally.clone()));
        Self { tally, task }
    }

    pub(super) fn tally(&self) -> Tally {
        lock(&self.tally).clone()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn work(
    secrets: Api<Secret>,
    name: &'static str,
    provider: Arc<Provider>,
    tally: Arc<Mutex<Tally>>,
) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reload_at = Instant::now();
    let mut holds: Option<Loaded> = None;
    loop {
        tick.tick().await;
        if Instant::now() >= reload_at {
            reload_at = Instant::now() + RELOAD;
            // As a volume keeps its files while the Secret cannot be read.
            holds = load(&secrets, name).await.or(holds);
            lock(&tally).holds = holds.as_ref().and_then(|loaded| loaded.id.clone());
        }
        let Some(loaded) = &holds else { continue };
        let accepted = provider.authenticates(&loaded.value).await;
        let mut tally = lock(&tally);
        tally.ticks += 1;
        match accepted {
            Ok(true) => {}
            Ok(false) => tally.refused += 1,
            Err(_) => tally.unanswered += 1,
        }
    }
}

async fn load(secrets: &Api<Secret>, name: &str) -> Option<Loaded> {
    let secret = secrets.get_opt(name).await.ok().flatten()?;
    let id = secret
        .annotations()
        .get(annotations::CREDENTIAL_ID)
        .cloned();
    let bytes = secret.data?.remove("token")?.0;
    let value = SecretValue::new(String::from_utf8(bytes).ok()?);
    Some(Loaded { id, value })
}
