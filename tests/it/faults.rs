//! The fault table of the protocol: what a provider, a proxy or the API server does wrong, and what comes
//! of it.
//!
//! Each row is played twice: at a first issue, and at a rotation while consumers use what is there. The
//! oracle looks after every request.

use std::time::Duration;

use handover::simulator::{
    Fault, FaultBody, FaultOrder, Operation, RateLimit, RetryAfter, StatusFault, Wait,
};
use serde_json::json;

use super::support::{
    oracle::{Bounds, Oracle},
    user::in_virtual_time,
    world::World,
};

mod cluster; // faults of the API server
mod provider; // faults of calls after the create

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// What comes of a create that goes wrong once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It is as if nothing had happened.
    Unharmed,
    /// Nothing was made; one more create after a wait, and nobody is left behind.
    Refused,
    /// Nobody knows; one more create after a wait. So many live on that status names.
    Unresolved { alive: usize },
    /// What was made is known and deleted; one more create after a wait.
    Rejected,
    /// What was made is known and deleted; nothing more is created on the whole connection.
    Broken,
    /// Nobody knows, and nothing more is created on the whole connection.
    BrokenUnresolved { alive: usize },
}

struct Row {
    name: &'static str,
    faults: Vec<Fault>,
    end: End,
}

fn row(name: &'static str, fault: Fault, end: End) -> Row {
    Row {
        name,
        faults: vec![fault],
        end,
    }
}

fn status(code: u16, body: FaultBody, committed: bool) -> Fault {
    Fault::Status(StatusFault {
        code,
        body,
        committed,
    })
}

fn limited(retry_after: RetryAfter) -> Fault {
    Fault::RateLimit(RateLimit {
        limit: 0,
        window: Wait(MINUTE),
        retry_after: Some(retry_after),
    })
}

fn table() -> Vec<Row> {
    use End::{Broken, BrokenUnresolved, Refused, Rejected, Unharmed, Unresolved};
    use FaultBody::{Empty, Html, Own, Text};
    let lost = Unresolved { alive: 1 };
    let nothing = Unresolved { alive: 0 };
    vec![
        row("lost response", Fault::LoseResponse, lost),
        row("lost request", Fault::LoseRequest, nothing),
        row("late commit", Fault::DelayCommit(Wait(SECOND)), lost),
        row(
            "very late commit",
            Fault::DelayCommit(Wait(MINUTE * 10)),
            lost,
        ),
        row("500 after commit", status(500, Own, true), lost),
        row("502 after commit", status(502, Html, true), lost),
        row("504 after commit", status(504, Empty, true), lost),
        row("500 before", status(500, Own, false), nothing),
        row("409", status(409, Own, false), nothing),
        row(
            "401 of a proxy, after commit",
            status(401, Html, true),
            lost,
        ),
        row("429 of a proxy", status(429, Text, false), nothing),
        row("reset", Fault::Reset, lost),
        row(
            "truncated before the id",
            Fault::Truncate(4),
            BrokenUnresolved { alive: 1 },
        ),
        row(
            "a login page",
            status(200, Html, true),
            BrokenUnresolved { alive: 1 },
        ),
        row(
            "a login page instead",
            status(200, Html, false),
            BrokenUnresolved { alive: 0 },
        ),
        row("no value", Fault::NoValue, Broken),
        row("damaged behind the id", Fault::BadJson, Broken),
        row("401", status(401, Own, false), Refused),
        row("403", status(403, Own, false), Refused),
        row("422", status(422, Own, false), Refused),
        row(
            "429 without Retry-After",
            limited(RetryAfter::None),
            Refused,
        ),
        row("429 with seconds", limited(RetryAfter::Seconds), Refused),
        row("429 with a date", limited(RetryAfter::Date), Refused),
        row("less scope than asked", Fault::WrongScope, Rejected),
        row("another label", Fault::Relabel, Rejected),
        row(
            "slow, but in time",
            Fault::Stall(Wait(SECOND * 5)),
            Unharmed,
        ),
        row("too slow", Fault::Stall(Wait(SECOND * 40)), lost),
    ]
}

/// Plays one row; `first` at a first issue, else at a rotation.
async fn play(row: &Row, first: bool) {
    let name = format!("{}, {}", row.name, if first { "issue" } else { "rotation" });
    let world = World::started().await;
    let oracle = Oracle::watch(&world, "ci", Bounds::usual());
    let before = if first {
        None
    } else {
        let spec = json!({ "rotation": { "overlap": "5m" } });
        Some(world.issued("ci", spec).await)
    };
    let made = world.errova.truth().len();
    let fault = FaultOrder::on(Operation::TokenCreate, row.faults.clone());
    world.errova.order_fault(fault.nth(1));
    if first {
        world.token("ci", json!({ "rotation": { "overlap": "5m" } }));
    } else {
        world.ask_rotation("ci");
    }
    if matches!(row.end, End::Broken | End::BrokenUnresolved { .. }) {
        broken(&world, before.as_ref(), &name).await;
    }
    world
        .until(HOUR, &name, |w| {
            w.is_settled("ci") && w.value("ci") != before
        })
        .await;
    world.pass(MINUTE * 15).await; // whatever comes late has come
    oracle.assert_kept(&name);
    assert!(world.is_settled("ci"), "{name}\n{}", oracle.story());
    let attempts = world.ledger("ci").unwrap().attempt.0 - u64::from(!first);
    let expected = if row.end == End::Unharmed { 1 } else { 2 };
    assert_eq!(attempts, expected, "{name}\n{}", oracle.story());
    let (alive, named) = match row.end {
        End::Unharmed | End::Refused | End::Rejected | End::Broken => (0, 0),
        End::Unresolved { alive } | End::BrokenUnresolved { alive } => (alive, 1),
    };
    assert_eq!(world.live().len(), 1 + alive, "{name}\n{}", oracle.story());
    let orphans = world.get("ci").unwrap().status.unwrap().suspected_orphans;
    let orphans = orphans.unwrap_or_default();
    assert_eq!(orphans.len(), named, "{name}: {orphans:?}");
    let is_named = |label: &str| orphans.iter().any(|o| label.starts_with(&o.label));
    let truth = world.errova.truth();
    let stray = truth.iter().skip(made).filter(|t| t.authenticates);
    let stray = stray.filter(|t| is_named(&t.label)).count();
    assert_eq!(stray, alive, "{name}: status names what lives");
}

/// The breaker is open, for everything but what is in use; another credential of the connection closes it.
async fn broken(world: &World, before: Option<&String>, name: &str) {
    world.pass(HOUR * 2).await;
    assert_eq!(world.ledger("ci").unwrap().deleting.len(), 0, "{name}");
    assert_eq!(world.value("ci").as_ref(), before, "{name}");
    assert_eq!(world.is_ready("ci"), before.is_some(), "{name}");
    let shown = world.condition("ci", "Ready").unwrap();
    assert!(
        format!("{shown:?}").contains("BreakerOpen"),
        "{name}: {shown:?}"
    );
    let other = "another admin credential of the platform";
    let other = other.replace(' ', "_");
    world
        .errova
        .seed_admin(handover::secret_value::SecretValue::new(other.clone()));
    world.write_admin(other.as_bytes());
}

#[test]
fn a_07_a_create_that_goes_wrong_once_is_never_sent_again_and_the_next_one_succeeds() {
    for row in table() {
        in_virtual_time(play(&row, true));
    }
}

#[test]
fn a_23_a_replacement_that_goes_wrong_once_is_noticed_by_no_consumer() {
    for row in table() {
        in_virtual_time(play(&row, false));
    }
}

/// Every create goes wrong in this way for a day, and nothing is done about it.
async fn persist(row: &Row) {
    let world = World::started().await;
    world.edit_connection(&json!({ "maxUnresolved": 100 }));
    let bounds = Bounds {
        creates: 12,
        ..Bounds::usual()
    };
    let oracle = Oracle::watch(&world, "ci", bounds);
    let spec = json!({ "rotation": { "overlap": "5m" } });
    let first = world.issued("ci", spec).await;
    let fault = FaultOrder::on(Operation::TokenCreate, row.faults.clone());
    world.errova.order_fault(fault);
    let sent = world.errova.audit().len();
    world.ask_rotation("ci");
    world.pass(HOUR * 23).await;
    oracle.assert_kept(row.name);
    assert_eq!(world.value("ci"), Some(first), "{}", row.name);
    assert!(world.is_ready("ci"), "{}", row.name);
    let creates = world.errova.audit_since(sent).into_iter();
    let creates = creates
        .filter(|c| c.op == Some(Operation::TokenCreate))
        .count();
    // A proven refusal costs a wait that doubles from a minute; anything else costs the budget of five.
    let most = if row.end == End::Refused { 11 } else { 5 };
    assert!((1..=most).contains(&creates), "{}: {creates}", row.name);
}

#[test]
fn a_09_a_create_that_always_goes_wrong_stays_within_the_budget_for_a_day() {
    let telling = [
        "lost response",
        "409",
        "no value",
        "422",
        "429 without Retry-After",
        "429 with seconds",
        "less scope than asked",
    ];
    let all = table().into_iter();
    for row in all.filter(|row| telling.contains(&row.name)) {
        in_virtual_time(persist(&row));
    }
}

#[test]
fn a_create_that_a_proxy_sends_twice_leaves_the_one_in_use_alone() {
    in_virtual_time(async {
        let world = World::started().await;
        let bounds = Bounds {
            duplicates: 1,
            ..Bounds::usual()
        };
        let oracle = Oracle::watch(&world, "ci", bounds);
        let twice = FaultOrder::on(Operation::TokenCreate, [Fault::Duplicate]);
        world.errova.order_fault(twice.nth(1));
        let spec = json!({ "rotation": { "overlap": "5m" } });
        let first = world.issued("ci", spec).await;
        world.ask_rotation("ci");
        world
            .until(HOUR, "rotated", |w| {
                w.is_settled("ci") && w.value("ci").as_ref() != Some(&first)
            })
            .await;
        oracle.assert_kept("duplicate");
        assert_eq!(
            world.live().len(),
            2,
            "the invisible one cannot be found without a list"
        );
    });
}

/// An answer that confuses credentials must not cost the one in use.
async fn confused(fault: Fault) {
    let name = format!("{fault:?}");
    let world = World::started().await;
    let oracle = Oracle::watch(&world, "ci", Bounds::usual());
    let spec = json!({ "rotation": { "overlap": "5m" } });
    let first = world.issued("ci", spec).await;
    let order = FaultOrder::on(Operation::TokenCreate, [fault]);
    world.errova.order_fault(order.nth(1));
    world.ask_rotation("ci");
    world.pass(HOUR).await;
    oracle.assert_kept(&name);
    assert!(world.is_ready("ci"), "{name}");
    assert_eq!(world.value("ci"), Some(first), "{name}\n{}", oracle.story());
}

#[test]
fn s8_an_answer_with_the_id_of_the_one_in_use_does_not_get_it_deleted() {
    in_virtual_time(confused(Fault::WrongOwner));
}

#[test]
fn s1_an_answer_with_the_value_of_the_one_in_use_is_not_taken_for_a_new_one() {
    in_virtual_time(confused(Fault::OldValue));
}
