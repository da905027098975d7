//! The verdict: what people and tools are told of a world.

use kube::ResourceExt as _;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    api::{annotations, condition::ConditionType, machine_token::MachineToken},
    ledger::{
        fixtures::{DAY, HOUR, MINUTE, NOON, ago, ahead, walk},
        record::Ledger,
    },
    plan::{fixtures::pod, plan, world::Task},
    reconcile::status::{conditions, findings},
};

/// A verdict in a few words: ready, or who has to act, and why.
fn say(world: &World) -> String {
    let verdict = verdict(world, &plan(world, NOON).because);
    let ready = match (verdict.ready, verdict.stalled) {
        (true, _) => "Ready",
        (false, true) => "Stalled",
        (false, false) => "Reconciling",
    };
    let blocked = if verdict.blocked.is_some() {
        ", blocked"
    } else {
        ""
    };
    format!("{ready} {}{blocked}", verdict.reason)
}

#[test]
fn a_76_a_80_people_are_told_what_is_so() {
    let pending = || World::test().with_ledger(Ledger::test().arming(ago(MINUTE)).filling());
    let overlap = || {
        let ledger = Ledger::test().issued(ago(DAY)).issued(ago(MINUTE));
        World::test().with_ledger(ledger.overlapping(ago(MINUTE)))
    };
    let held = World::retiring()
        .inspected(vec![pod("web", ago(DAY))])
        .proven();
    let later = ahead(MINUTE);
    for (case, world, expected) in vec![
        ("new", World::test(), "Reconciling Issuing"),
        ("stored", pending(), "Reconciling Verifying"),
        (
            "refused so far",
            pending().waiting_for(Task::Verify, later),
            "Reconciling Verifying",
        ),
        ("in use", World::issued(), "Ready Delivered"),
        (
            "the target is gone",
            World::issued().targetless(),
            "Reconciling Delivering",
        ),
        (
            "repaired a moment ago",
            World::issued()
                .damaged()
                .but(|w| w.memory.delivered = Some((crate::ledger::ids::Epoch(1), NOON))),
            "Reconciling TargetDamaged",
        ),
        ("overlap", overlap(), "Ready Overlap"),
        ("a Pod holds the old value", held, "Ready Overlap, blocked"),
        (
            "Pods may not be listed",
            World::retiring().inspected(None),
            "Ready Overlap, blocked",
        ),
        ("paused", World::issued().paused(), "Ready Delivered"),
        (
            "paused with nothing in use",
            World::test().paused(),
            "Stalled Paused",
        ),
    ] {
        assert_eq!(say(&world), expected, "{case}");
    }
}

#[test]
fn a_99_what_stands_in_the_way_makes_unready_only_what_cannot_be_had() {
    let later = ahead(MINUTE);
    let buried = || {
        World::issued()
            .record(|l| l.bury(None, NOON).unwrap())
            .deleting()
    };
    let other_spec = |world: World| world.wishing(|w| w.spec_hash = Some("spec-2".to_owned()));
    for (case, world, expected) in vec![
        (
            "an outage leaves what is in use ready",
            World::issued().hindered(Reason::ProviderUnavailable),
            "Ready Delivered",
        ),
        (
            "no connection yet",
            World::test().hindered(Reason::ConnectionNotReady),
            "Reconciling ConnectionNotReady",
        ),
        (
            "no right, and nothing in use",
            World::test().hindered(Reason::NotAllowed),
            "Stalled NotAllowed",
        ),
        (
            "no right, and something in use",
            World::issued().hindered(Reason::NotAllowed),
            "Stalled NotAllowed",
        ),
        (
            "a foreign target",
            World::issued().foreign(None),
            "Stalled TargetForeign",
        ),
        (
            "an immutable target that holds it",
            World::issued().showing(|s| s.immutable = true),
            "Ready Delivered",
        ),
        (
            "a ledger that was set back",
            World::issued().showing(|s| s.epoch = s.epoch.next()),
            "Stalled StateRollback",
        ),
        (
            "another spec is asked for",
            other_spec(World::issued()),
            "Reconciling Issuing",
        ),
        (
            "being revoked, refused",
            buried().waiting_for(Task::Revoke, later),
            "Reconciling Deleting",
        ),
        (
            "the window is used up",
            World::test().with_ledger(Ledger::test().spending(ago(HOUR), 5, 5)),
            "Reconciling BudgetExhausted",
        ),
    ] {
        assert_eq!(say(&world), expected, "{case}");
    }
}

#[test]
fn a_replacement_that_waits_is_named_beside_what_is_in_use() {
    let world = World::issued()
        .record(|ledger| ledger.spending(ago(HOUR), 30, 0))
        .asked(NOON);
    let verdict = verdict(&world, &plan(&world, NOON).because);
    assert!(verdict.ready);
    assert!(
        verdict.message.contains("(BudgetExhausted)"),
        "{}",
        verdict.message
    );
}

#[test]
fn an_annotation_that_cannot_be_read_is_named_with_its_form() {
    let world = World::issued();
    let verdict = verdict(&world, &plan(&world, NOON).because);
    let said = |name: &str, text: &str| {
        let mut token = token();
        token.annotations_mut().insert(name.into(), text.into());
        findings(&token, 0, &verdict).remove(0).message
    };
    for (name, good, bad) in [
        (
            annotations::ROTATE_REQUESTED_AT,
            "2026-01-15T03:00:00Z",
            "now",
        ),
        (annotations::RESOLVED_ATTEMPTS, "3,4", "all"),
    ] {
        assert_eq!(said(name, good), verdict.message);
        let message = said(name, bad);
        assert!(
            message.contains(name) && message.contains("such as"),
            "{message}"
        );
    }
}

#[test]
fn what_verification_waits_for_is_said_and_nothing_else() {
    let world = World::test()
        .with_ledger(Ledger::test().arming(ago(MINUTE)).filling())
        .waiting_for(Task::Rehearse, ahead(HOUR))
        .waiting_for(Task::Verify, ahead(MINUTE));
    let verdict = verdict(&world, &plan(&world, NOON).because);
    assert_eq!(verdict.message, "Verify failed");
}

#[test]
fn the_list_of_what_is_waited_for_fits_its_schema() {
    let names = |n: usize| Blocked::Pods((0..n).map(|i| format!("{i:0>253}")).collect());
    for closed in [
        names(1),
        names(8),
        names(9),
        names(500),
        Blocked::PodsUnknown,
        Blocked::NotProven,
    ] {
        let list = waiting_for(&closed);
        assert!((1..=16).contains(&list.len()));
        let longest = list.iter().map(|item| item.chars().count()).max();
        assert!(longest <= Some(256), "{longest:?}");
    }
    assert_eq!(waiting_for(&names(9)).len(), 9);
    assert_eq!(waiting_for(&names(500))[8], "and 492 more Pods");
    assert_eq!(waiting_for(&Blocked::Idle), Vec::<String>::new());
}

fn token() -> MachineToken {
    let spec = json!({ "connectionRef": { "name": "acme" }, "scopes": ["project:read"] });
    MachineToken::new("ci", serde_json::from_value(spec).unwrap())
}

proptest! {
    /// `Ready` ≠ True ⇔ exactly one of `Reconciling` and `Stalled`.
    #[test]
    fn not_ready_means_that_either_work_goes_on_or_someone_must_act(
        ledger in walk::any_ledger(),
        shape in 0..6u8,
        hindered in 0..Reason::ALL.len() * 2,
    ) {
        let world = match shape {
            0 => World::test().with_ledger(ledger),
            1 => World::test().with_ledger(ledger).targetless(),
            2 => World::test().with_ledger(ledger).foreign(Some("Deployment web")),
            3 => World::test().with_ledger(ledger).paused(),
            4 => World::test().with_ledger(ledger).deleting(),
            _ => World::test().with_ledger(ledger).inspected(vec![pod(&"p".repeat(253), ago(DAY * 9))]),
        };
        let world = match Reason::ALL.get(hindered) {
            Some(reason) => world.hindered(*reason),
            None => world,
        };
        let verdict = verdict(&world, &plan(&world, NOON).because);
        let open = world.ledger.as_ref().map_or(0, |ledger| ledger.abandoned.len());
        let conditions = conditions(&[], findings(&token(), open, &verdict), NOON);
        let holds = |about: ConditionType| {
            conditions.iter().any(|c| c.type_ == about.as_str() && c.status == "True")
        };
        let unready = [ConditionType::Reconciling, ConditionType::Stalled].map(holds);
        let unready = unready.into_iter().filter(|holds| *holds).count();
        prop_assert_eq!(unready, usize::from(!holds(ConditionType::Ready)));
        for condition in &conditions {
            prop_assert!(condition.message.chars().count() <= 512);
            prop_assert!(!condition.message.is_empty());
            prop_assert!(!condition.message.contains(char::is_control), "{:?}", condition.message);
        }
    }
}
