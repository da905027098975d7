//! What a token costs, in requests: the bars.
//!
//! Not counted, because they are not a token's: Events, the connection's own checks, what asks for
//! rights, and the lists and watches that fill caches.

use std::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use handover::simulator::AuditEntry;
use serde_json::json;

use super::support::{
    apiserver::{Entry, Phase, Verb, Verdict},
    world::World,
};

const MINUTE: Duration = Duration::from_secs(60);

/// Where both logs are.
#[derive(Clone, Copy, Debug)]
struct Mark {
    requests: usize,
    calls: usize,
}

/// What happened between two marks.
#[derive(Debug)]
struct Cost {
    requests: Vec<Entry>,
    calls: Vec<AuditEntry>,
}

impl Mark {
    fn now(world: &World) -> Self {
        Self {
            requests: world.api.log().len(),
            calls: world.errova.audit().len(),
        }
    }

    fn since(self, world: &World) -> Cost {
        let end = Self::now(world);
        let requests: Range<usize> = self.requests..end.requests;
        let requests = world.api.log()[requests].to_vec();
        let calls = world.errova.audit_since(self.calls);
        Cost {
            requests: requests.into_iter().filter(counts).collect(),
            calls: calls.into_iter().filter(|c| !world.is_check(c)).collect(),
        }
    }
}

fn counts(entry: &Entry) -> bool {
    let request = &entry.request;
    let caches = matches!(request.verb, Verb::List | Verb::Watch) && request.resource != "pods";
    let rights = request.resource == "selfsubjectaccessreviews";
    let operator = request.client.starts_with("operator");
    let connection =
        request.resource == "clusterconnections" || request.name.as_deref() == Some("errova-admin");
    operator && !caches && !rights && !connection && request.resource != "events"
}

impl Cost {
    fn writes(&self) -> usize {
        let writes = |e: &&Entry| e.request.verb.writes() && !e.request.dry_run;
        self.requests.iter().filter(writes).count()
    }

    fn dry_runs(&self) -> usize {
        self.requests.iter().filter(|e| e.request.dry_run).count()
    }

    fn reads(&self) -> usize {
        let reads = |e: &&Entry| !e.request.verb.writes();
        self.requests.iter().filter(reads).count()
    }

    fn assert_within(&self, writes: usize, dry_runs: usize, reads: usize, calls: usize) {
        let spent = (self.writes(), self.dry_runs(), self.reads());
        let within = spent.0 <= writes && spent.1 <= dry_runs && spent.2 <= reads;
        assert!(
            within && self.calls.len() <= calls,
            "{spent:?} and {} calls; allowed {:?} and {calls}:\n{}",
            self.calls.len(),
            (writes, dry_runs, reads),
            self.story()
        );
    }

    fn assert_nothing(&self) {
        self.assert_within(0, 0, 0, 0);
    }

    fn story(&self) -> String {
        let requests = self.requests.iter().map(|e| format!("  {e}\n"));
        let calls = self
            .calls
            .iter()
            .map(|c| format!("  {:?} {:?}\n", c.op, c.status));
        requests.chain(calls).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_issue_costs_six_writes_one_rehearsal_one_read_and_two_calls() {
    let world = World::started().await;
    world.issued("warm-up", json!({})).await;
    let mark = Mark::now(&world);
    world.issued("ci", json!({})).await;
    world.pass(MINUTE).await;
    mark.since(&world).assert_within(6, 1, 1, 2);
}

#[tokio::test(start_paused = true)]
async fn a_rotation_with_overlap_costs_nine_writes_and_four_calls() {
    let world = World::started().await;
    let first = world
        .issued("ci", json!({ "rotation": { "overlap": "10m" } }))
        .await;
    let mark = Mark::now(&world);
    world.ask_rotation("ci");
    world
        .until(MINUTE * 20, "rotated", |w| {
            w.value("ci").as_ref() != Some(&first) && w.is_settled("ci")
        })
        .await;
    world.pass(MINUTE).await;
    let cost = mark.since(&world);
    // The target live, the Pods, and the ledger with the value that is proven again.
    cost.assert_within(9, 0, 3, 4);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_costs_five_writes_and_one_call_for_each_live_id() {
    let world = World::started().await;
    let first = world.issued("ci", json!({})).await;
    let mark = Mark::now(&world);
    world.delete("ci");
    let gone = |w: &World| w.get("ci").is_none() && w.ledgers().is_empty();
    world.until(MINUTE, "gone", gone).await;
    world.pass(MINUTE).await;
    mark.since(&world).assert_within(5, 0, 0, 1);
    assert!(!world.errova.authenticates(&first));
}

#[tokio::test(start_paused = true)]
async fn a_deletion_within_an_overlap_costs_one_more_write_and_call() {
    let world = World::started().await;
    let first = world.issued("ci", json!({})).await;
    world.ask_rotation("ci");
    world
        .until(MINUTE, "overlap", |w| {
            w.value("ci").as_ref() != Some(&first) && w.reason("ci") == "Overlap"
        })
        .await;
    world.pass(MINUTE).await;
    let mark = Mark::now(&world);
    world.delete("ci");
    let gone = |w: &World| w.get("ci").is_none() && w.ledgers().is_empty();
    world.until(MINUTE, "gone", gone).await;
    world.pass(MINUTE).await;
    mark.since(&world).assert_within(6, 0, 0, 2);
}

#[tokio::test(start_paused = true)]
async fn a_98_at_rest_nothing_is_asked_and_nothing_written() {
    let world = World::started().await;
    world
        .issued("ci", json!({ "rotation": { "every": "30d" } }))
        .await;
    world.pass(Duration::from_secs(5)).await;
    let mark = Mark::now(&world);
    world.pass(MINUTE * 10).await;
    mark.since(&world).assert_nothing();
}

#[tokio::test(start_paused = true)]
async fn a_98_own_writes_that_come_back_cause_nothing() {
    let world = World::started().await;
    let (api, held) = (world.api.clone(), AtomicBool::new(false));
    // From the first write on nothing comes back before all of it does at once.
    world.on_request(move |request, phase| {
        let written = phase == Phase::After && request.verb.writes() && !request.dry_run;
        if written && !held.swap(true, Ordering::SeqCst) {
            api.hold_watches();
        }
        Verdict::Pass
    });
    world.issued("ci", json!({})).await;
    world.pass(MINUTE).await;
    let mark = Mark::now(&world);
    world.api.release_watches();
    world.pass(MINUTE).await;
    mark.since(&world).assert_nothing();
}

#[tokio::test(start_paused = true)]
async fn a_39_a_restart_with_fifty_settled_tokens_writes_nothing() {
    let mut world = World::new();
    world.edit_connection(&json!({ "requests": { "perMinute": 600, "inFlight": 20 } }));
    world.start();
    for n in 0..50 {
        world.token(
            &format!("ci-{n}"),
            json!({ "rotation": { "every": "30d" } }),
        );
    }
    world
        .until(MINUTE * 30, "all settled", |w| {
            (0..50).all(|n| w.is_settled(&format!("ci-{n}")))
        })
        .await;
    world.pass(MINUTE).await;
    world.stop().await;
    let mark = Mark::now(&world);
    world.start();
    world.pass(MINUTE * 10).await;
    let cost = mark.since(&world);
    assert_eq!(
        (cost.writes(), cost.calls.len()),
        (0, 0),
        "{}",
        cost.story()
    );
    let per_token = cost.requests.iter().filter(|e| {
        let name = e.request.name.as_deref().unwrap_or_default();
        name.starts_with("ci-") || name.starts_with("ledger-")
    });
    assert_eq!(per_token.count(), 0, "{}", cost.story());
}
