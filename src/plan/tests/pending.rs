//! What is stored is verified or given up; what was lost is made anew.

use super::*;
use crate::{
    ledger::{
        fixtures::{DAY, MILLISECOND, MINUTE, SECOND, ago, ahead},
        record::Ledger,
    },
    plan::world::{Target, Task},
};

#[test]
fn a_pending_credential_is_verified_or_given_up() {
    let ledger = || Ledger::test().arming(ago(MINUTE)).filling();
    let pending = || World::test().with_ledger(ledger());
    let flawed = || {
        let flaw = Some(crate::provider::Flaw::WrongScopes);
        let armed = Ledger::test().arming(ago(MINUTE));
        let id = crate::ledger::fixtures::id_of(1);
        World::test().with_ledger(armed.fill(Generation(1), id, flaw, ago(MINUTE)).unwrap())
    };
    let refused = |since| pending().but(|w| w.memory.refused_since = Some((Generation(1), since)));
    let of_another = pending().but(|w| w.memory.refused_since = Some((Generation(9), ago(DAY))));
    let later = ahead(SECOND);
    let outdated = |world: World| world.wishing(|wish| wish.spec_hash = Some("spec-2".to_owned()));
    let beside = || {
        let in_use = Ledger::test().issued(ago(DAY));
        World::test().with_ledger(in_use.arming(ago(MINUTE)).filling())
    };
    let waiting = |world: World| world.waiting_for(Task::Verify, later);
    check(vec![
        ("stored", pending(), "Verify", None),
        (
            "refused, and waiting",
            waiting(pending()),
            "Working(Verify)",
            Some(later),
        ),
        (
            "the wait is over",
            pending().waiting_for(Task::Verify, NOON),
            "Verify",
            None,
        ),
        (
            "beside one in use",
            waiting(beside()),
            "Blocked ProviderUnavailable",
            Some(later),
        ),
        (
            "while that one's target is damaged",
            waiting(beside().damaged()),
            "Deliver",
            None,
        ),
        ("not what was asked for", flawed(), "Reject Unusable", None),
        (
            "refused, a millisecond before the end",
            refused(ago(MINUTE * 10) + MILLISECOND),
            "Verify",
            None,
        ),
        (
            "refused for all of verifyTimeout, and asked once more",
            refused(ago(MINUTE * 10)),
            "Verify",
            None,
        ),
        (
            "and refused again",
            waiting(refused(ago(MINUTE * 10))),
            "Reject Unusable",
            None,
        ),
        (
            "refused again, a millisecond before the end",
            waiting(refused(ago(MINUTE * 10) + MILLISECOND)),
            "Working(Verify)",
            Some(later),
        ),
        ("another attempt was", of_another, "Verify", None),
        (
            "made for another spec",
            outdated(pending()),
            "Reject Outdated",
            None,
        ),
        (
            "while the spec cannot be known",
            pending().wishing(|w| w.spec_hash = None),
            "Verify",
            None,
        ),
        ("paused", pending().paused(), "Paused", None),
        (
            "with a foreign target",
            pending().foreign(None),
            "Blocked TargetForeign",
            Some(ahead(MINUTE)),
        ),
    ]);
}

#[test]
fn a_lost_ledger_is_rebuilt_only_from_an_intact_target() {
    let lost = || World::issued().but(|world| world.ledger = None);
    check(vec![
        ("intact", lost(), "Rebuild", None),
        ("edited", lost().damaged(), "Issue LedgerLost", None),
        ("gone", lost().targetless(), "Issue Created", None),
        (
            "foreign",
            lost().foreign(None),
            "Blocked TargetForeign",
            Some(ahead(MINUTE)),
        ),
        (
            "without a connection",
            lost().wishing(|w| w.place = None),
            "Blocked ConnectionNotReady",
            None,
        ),
        ("paused", lost().paused(), "Paused", None),
    ]);
    assert!(matches!(lost().target, Target::Ours(_)));
}
