//! Rotation after rotation while consumers authenticate all the time, and the order of every step.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _};
use handover::{
    api::annotations,
    ledger::record::Ledger,
    simulator::{AuditEntry, Operation},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt as _, core::PartialObjectMeta};
use kube_runtime::{WatchStreamExt as _, watcher};
use serde_json::json;
use tokio::{sync::Mutex, time::Instant};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    audit,
    consumers::Consumers,
    place::Place,
    plane,
    world::{OPERATOR_USER, SYSTEM, World},
};

const SCALE: u32 = 60;

/// The smallest overlap, at that scale.
const OVERLAP: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_consumer_is_refused_over_twenty_rotations() {
    if plane::is_off() {
        return;
    }
    let rotations = how_many();
    let world = World::install(&["web"]).await;
    world.start(SCALE);
    let place = Arc::new(Place::new(&Arc::new(world), "web").await);
    let ledgers = record_ledgers(&place);
    let rotation = json!({ "rotation": { "overlap": "5m" } });
    place.ask("ci", rotation).await.unwrap();
    let delivered = async || place.is_ready("ci").await;
    place
        .until(Duration::from_secs(60), "delivered", delivered)
        .await;

    let consumers = Consumers::start(&place, "ci");
    let begun = Instant::now();
    for n in 1..=rotations {
        rotate(&place, n).await;
    }
    let seconds = begun.elapsed().as_secs_f32();
    let (ticks, refused) = consumers.stop().await;
    eprintln!("{rotations} rotations in {seconds:.0} s: {ticks} ticks, {refused} refused");

    let story = story(&place, &ledgers).await;
    let told = story.iter().map(|(at, step)| format!("{at} {step}"));
    let told = told.collect::<Vec<_>>().join("\n");
    assert_eq!(refused, 0, "{told}");
    assert!(ticks > 0);
    for (attempt, steps) in by_attempt(&story).range(2..) {
        assert_eq!(*steps, ROTATION, "attempt {attempt} of:\n{told}");
    }
    assert_eq!(by_attempt(&story).len(), rotations + 1, "{told}");
}

#[expect(clippy::disallowed_methods, reason = "the switch of this test")]
fn how_many() -> usize {
    let given = std::env::var("HANDOVER_ROTATIONS");
    given.map_or(20, |text| text.parse().unwrap())
}

/// Asks for a rotation and waits until the one before is revoked.
async fn rotate(place: &Place, n: usize) {
    let now = place.provider.errova.clock().now().to_string();
    let request =
        json!({ "metadata": { "annotations": { annotations::ROTATE_REQUESTED_AT: now } } });
    place.change("ci", request).await;
    let rotated = async || {
        let status = place.status("ci").await;
        let done = status.rotations == i64::try_from(n).ok();
        done && status.retiring.is_none() && place.provider.live().len() == 1
    };
    let limit = OVERLAP * 4 + Duration::from_secs(20);
    place.until(limit, &format!("rotation {n}"), rotated).await;
}

// === the joint log ===

/// What must happen in each rotation, in this order and nothing else.
const ROTATION: [&str; 12] = [
    "armed",
    "created",
    "filled",
    "verified",
    "promoted",
    "target written",
    "overlap began",
    "overlap over",
    "proven again",
    "marked",
    "deleted",
    "cleared",
];

/// A step of one attempt's rotation, and when it began.
#[derive(Clone, Debug)]
struct Step {
    attempt: u64,
    what: &'static str,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "attempt {}: {}", self.attempt, self.what)
    }
}

/// Every version of the ledgers, and the watch that tells of them.
struct Recorded {
    versions: Arc<Mutex<Vec<Ledger>>>,
    _watch: AbortOnDropHandle<()>,
}

/// Keeps every version of the ledger, as a watch shows them: none is skipped.
fn record_ledgers(place: &Place) -> Recorded {
    let versions: Arc<Mutex<Vec<Ledger>>> = Arc::default();
    let kept = versions.clone();
    let secrets: Api<PartialObjectMeta<Secret>> =
        Api::namespaced(place.world.admin.clone(), SYSTEM);
    let selector = format!(
        "{}={}",
        annotations::COMPONENT,
        annotations::COMPONENT_LEDGER
    );
    let config = watcher::Config::default().labels(&selector);
    let watch = tokio::spawn(async move {
        let mut seen = watcher(secrets, config).applied_objects().boxed();
        while let Some(secret) = seen.try_next().await.unwrap() {
            let record = &secret.annotations()[annotations::LEDGER];
            kept.lock().await.push(Ledger::decode(record).unwrap());
        }
    });
    Recorded {
        versions,
        _watch: AbortOnDropHandle::new(watch),
    }
}

/// What the API server, the ledger and the provider saw, in one order. Each step is sent after the answer
/// to the one before, all clocks are that of this machine, and each entry has the time of its arrival.
async fn story(place: &Place, ledgers: &Recorded) -> Vec<(Timestamp, Step)> {
    let requests = audit::read(&place.world.plane);
    let writes = requests.iter().filter(|request| {
        request.user == OPERATOR_USER
            && request.resource == "secrets"
            && request.is_write()
            && request.succeeded()
    });
    let (of_ledger, of_target): (Vec<_>, Vec<_>) = writes
        .filter(|request| request.name != "handover-instance")
        .partition(|request| request.namespace == SYSTEM);
    let versions = ledgers.versions.lock().await.clone();
    assert_eq!(of_ledger.len(), versions.len(), "one version per write");
    let mut story = Vec::new();
    let mut before: Option<&Ledger> = None;
    for (request, ledger) in of_ledger.iter().zip(&versions) {
        story.extend(transition(before, ledger, request.began));
        before = Some(ledger);
    }
    // The n-th write of the target is that of the n-th promotion.
    let promoted = story.iter().filter(|(_, step)| step.what == "promoted");
    let promoted: Vec<u64> = promoted.map(|(_, step)| step.attempt).collect();
    assert_eq!(
        promoted.len(),
        of_target.len(),
        "one write of the target per promotion"
    );
    for (request, attempt) in of_target.iter().zip(promoted) {
        story.push((
            request.began,
            Step {
                attempt,
                what: "target written",
            },
        ));
    }
    let known = known(&versions);
    let calls = place.provider.errova.audit().into_iter();
    story.extend(calls.filter_map(|call| provider_step(&call, &known, &versions)));
    story.sort_by_key(|(at, _)| *at);
    story
}

/// The attempt that made each credential.
fn known(versions: &[Ledger]) -> BTreeMap<String, u64> {
    let pending = versions.iter().filter_map(|ledger| ledger.pending.as_ref());
    pending
        .map(|pending| (pending.origin.id.to_string(), pending.origin.generation.0))
        .collect()
}

/// What one write of the ledger did; about the end of one credential is told under its successor.
fn transition(before: Option<&Ledger>, now: &Ledger, at: Timestamp) -> Vec<(Timestamp, Step)> {
    let mut steps = Vec::new();
    let mut step = |what| {
        steps.push((
            at,
            Step {
                attempt: now.attempt.0,
                what,
            },
        ));
    };
    let was = |is: &dyn Fn(&Ledger) -> bool| before.is_some_and(is);
    if now.intent.is_some() && !was(&|l| l.intent.is_some()) {
        step("armed");
    }
    if now.pending.is_some() && !was(&|l| l.pending.is_some()) {
        step("filled");
    }
    if now.epoch > before.map(|l| l.epoch).unwrap_or_default() {
        step("promoted");
    }
    let began = |l: &Ledger| l.retiring.as_ref().and_then(|r| r.distributed_at);
    if let Some(since) = began(now).filter(|since| before.and_then(began) != Some(*since)) {
        step("overlap began");
        let over = since + OVERLAP;
        steps.push((
            over,
            Step {
                attempt: now.attempt.0,
                what: "overlap over",
            },
        ));
        return steps;
    }
    if now.deleting.len() > before.map_or(0, |l| l.deleting.len()) {
        step("marked");
    }
    if now.deleting.len() < before.map_or(0, |l| l.deleting.len()) {
        step("cleared");
    }
    steps
}

fn provider_step(
    call: &AuditEntry,
    known: &BTreeMap<String, u64>,
    versions: &[Ledger],
) -> Option<(Timestamp, Step)> {
    let of = |id: &Option<String>| known.get(id.as_ref()?).copied();
    let (attempt, what) = match call.op? {
        Operation::TokenCreate => (call.attempt?, "created"),
        Operation::AuthCheck => {
            let attempt = of(&call.caller)?;
            let promoted = versions.iter().filter_map(|l| l.current.as_ref());
            let promoted = promoted
                .filter(|current| current.origin.generation.0 == attempt)
                .map(|current| current.promoted_at)
                .min();
            let again = promoted.is_some_and(|at| call.time > at);
            (attempt, if again { "proven again" } else { "verified" })
        }
        Operation::TokenDelete => (of(&call.id)? + 1, "deleted"),
        _ => return None,
    };
    Some((call.time, Step { attempt, what }))
}

fn by_attempt(story: &[(Timestamp, Step)]) -> BTreeMap<u64, Vec<&'static str>> {
    let mut steps: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for (_, step) in story {
        steps.entry(step.attempt).or_default().push(step.what);
    }
    steps
}
