//! An operator that dies at every request, and a network that loses every one, in turn.
//!
//! For every n: the n-th request of an issue, of a rotation, of a deletion (to the API server or to the
//! provider, whichever it is) is struck; then a new process comes, and everything must end well. The
//! oracle looks after every request of both operators.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use handover::ledger::record::Ledger;
use serde_json::json;

use super::support::{
    apiserver::{Phase, RequestInfo, Verb, Verdict},
    oracle::{Bounds, Oracle},
    user::in_virtual_time,
    wire::Crossing,
    world::World,
};

const MINUTE: Duration = Duration::from_secs(60);

/// What the operator is about when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Issue,
    Rotate,
    Delete,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blow {
    /// `kill -9` when the request is on its way: it does not arrive.
    CrashBefore,
    /// `kill -9` when it was carried out: the answer reaches nobody.
    CrashAfter,
    /// The connection breaks, and the request does not arrive.
    LoseRequest,
    /// The connection breaks when the request was carried out.
    LoseResponse,
}

impl Blow {
    fn kills(self) -> bool {
        matches!(self, Self::CrashBefore | Self::CrashAfter)
    }

    fn phase(self) -> Phase {
        match self {
            Self::CrashBefore | Self::LoseRequest => Phase::Before,
            Self::CrashAfter | Self::LoseResponse => Phase::After,
        }
    }
}

/// Counts requests to both sides down to the one that is struck.
#[derive(Clone)]
struct Countdown(Arc<Mutex<Count>>);

struct Count {
    left: usize,
    blow: Blow,
    /// The struck request, once it has begun.
    marked: Option<Mark>,
    struck: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Request(usize),
    Call,
}

impl Countdown {
    fn install(world: &World, n: usize, blow: Blow) -> Self {
        let count = Count {
            left: n,
            blow,
            marked: None,
            struck: false,
        };
        let countdown = Self(Arc::new(Mutex::new(count)));
        let (on_request, kill) = (countdown.clone(), world.killer());
        world.on_request(move |request, phase| {
            if !counts(request) || !on_request.strikes(Mark::Request(request.seq), phase) {
                return Verdict::Pass;
            }
            if blow.kills() {
                kill(&request.client);
                return Verdict::Hang;
            }
            match phase {
                Phase::Before => Verdict::LoseRequest,
                Phase::After => Verdict::LoseResponse,
            }
        });
        let (on_call, kill) = (countdown.clone(), world.killer());
        world.on_call(move |call, phase| {
            if !on_call.strikes(Mark::Call, phase) {
                return Crossing::Pass;
            }
            if blow.kills() {
                kill(&call.client);
            }
            Crossing::Break
        });
        countdown
    }

    fn strikes(&self, mark: Mark, phase: Phase) -> bool {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if count.struck {
            return false;
        }
        if phase == Phase::Before && count.left > 0 {
            count.left -= 1;
            count.marked = (count.left == 0).then_some(mark);
        }
        count.struck = count.marked == Some(mark) && phase == count.blow.phase();
        count.struck
    }

    fn has_struck(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).struck
    }
}

/// Caches come back by themselves and at any time; everything else is a step of the protocol.
fn counts(request: &RequestInfo) -> bool {
    let caches = matches!(request.verb, Verb::List | Verb::Watch) && request.resource != "pods";
    request.client.starts_with("operator") && !caches
}

/// Strikes the n-th request for every n that there is; answers how many there were.
fn campaign(act: Act, blow: Blow) -> usize {
    let mut n = 1;
    while in_virtual_time(strike(act, blow, n)) {
        n += 1;
    }
    n - 1
}

/// Whether there was an n-th request.
async fn strike(act: Act, blow: Blow, n: usize) -> bool {
    let scenario = format!("{act:?}, {blow:?} at request {n}");
    let mut world = World::started().await;
    let oracle = Oracle::watch(&world, "ci", Bounds::usual());
    let first = prepare(&world, act).await;
    let countdown = Countdown::install(&world, n, blow);
    begin(&world, act);
    let done = |w: &World| is_done(w, act, first.as_deref());
    world
        .until(MINUTE * 60, &scenario, |w| {
            countdown.has_struck() || done(w)
        })
        .await;
    let struck = countdown.has_struck();
    if struck && blow.kills() {
        world.kill();
        world.start();
    }
    world.until(MINUTE * 60, &scenario, done).await;
    oracle.assert_kept(&scenario);
    assert_at_rest(&world, &oracle, act, &scenario);
    world.kill();
    struck
}

async fn prepare(world: &World, act: Act) -> Option<String> {
    if act == Act::Issue {
        return None;
    }
    let spec = json!({ "rotation": { "overlap": "5m" } });
    let first = Some(world.issued("ci", spec).await);
    if act == Act::Delete {
        world.ask_rotation("ci"); // so that there are two to revoke
        world
            .until(MINUTE, "rotated", |w| {
                w.value("ci") != first && w.is_ready("ci")
            })
            .await;
    }
    first
}

fn begin(world: &World, act: Act) {
    match act {
        Act::Issue => {
            world.token("ci", json!({ "rotation": { "overlap": "5m" } }));
        }
        Act::Rotate => world.ask_rotation("ci"),
        Act::Delete => world.delete("ci"),
    }
}

fn is_done(world: &World, act: Act, first: Option<&str>) -> bool {
    match act {
        Act::Issue => world.is_settled("ci"),
        Act::Rotate => world.is_settled("ci") && world.value("ci").as_deref() != first,
        Act::Delete => {
            let ledgers = world.ledgers();
            let idle = |l: &Ledger| l.recorded().next().is_none() && l.intent.is_none();
            world.get("ci").is_none() && ledgers.iter().all(idle)
        }
    }
}

/// One live credential, in use, and those that status (after a deletion the ledger) names as unresolved.
fn assert_at_rest(world: &World, oracle: &Oracle, act: Act, scenario: &str) {
    let ledger = world.ledgers().into_iter().next();
    let status = world.get("ci").and_then(|token| token.status);
    let open: Vec<String> = if let Some(status) = status {
        let orphans = status.suspected_orphans.unwrap_or_default();
        orphans.into_iter().map(|orphan| orphan.label).collect()
    } else {
        let open = ledger.iter().flat_map(|l| &l.abandoned);
        open.map(|a| a.nonce.as_str().to_owned()).collect()
    };
    let current = ledger.and_then(|l| l.current.map(|c| c.origin.id.to_string()));
    let mut used = 0;
    for one in world.errova.truth().into_iter().filter(|t| t.authenticates) {
        if one.scopes.contains(&"org.admin".to_owned()) {
            continue;
        }
        let named = open.iter().any(|label| one.label.contains(label.as_str()));
        let in_use = Some(&one.id) == current.as_ref();
        used += usize::from(in_use);
        assert!(
            in_use || named,
            "{scenario}: {} lives and nobody knows\n{}",
            one.id,
            oracle.story()
        );
    }
    assert_eq!(used, usize::from(act != Act::Delete), "{scenario}");
    if act == Act::Delete {
        assert_eq!(world.value("ci"), None, "{scenario}: the target stayed");
    }
}

macro_rules! campaigns {
    ($($name:ident: $act:ident, $blow:ident, $least:literal;)+) => {
        $(
            #[test]
            fn $name() {
                let requests = campaign(Act::$act, Blow::$blow);
                assert!(requests >= $least, "only {requests} requests were struck");
            }
        )+
    };
}

campaigns! {
    a_07_a_crash_before_any_request_of_an_issue_ends_well: Issue, CrashBefore, 9;
    a_07_a_crash_after_any_request_of_an_issue_ends_well: Issue, CrashAfter, 9;
    a_07_any_lost_request_of_an_issue_ends_well: Issue, LoseRequest, 9;
    a_07_any_lost_response_of_an_issue_ends_well: Issue, LoseResponse, 9;
    a_23_a_crash_before_any_request_of_a_rotation_ends_well: Rotate, CrashBefore, 12;
    a_23_a_crash_after_any_request_of_a_rotation_ends_well: Rotate, CrashAfter, 12;
    a_23_any_lost_request_of_a_rotation_ends_well: Rotate, LoseRequest, 12;
    a_23_any_lost_response_of_a_rotation_ends_well: Rotate, LoseResponse, 12;
    a_68_a_crash_before_any_request_of_a_deletion_ends_well: Delete, CrashBefore, 7;
    a_68_a_crash_after_any_request_of_a_deletion_ends_well: Delete, CrashAfter, 7;
    a_68_any_lost_request_of_a_deletion_ends_well: Delete, LoseRequest, 7;
    a_68_any_lost_response_of_a_deletion_ends_well: Delete, LoseResponse, 7;
}
