//! What a listing shows, against what the ledger knows.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ledger::fixtures::{
    HOUR, MINUTE, NOON, ago, id, id_of, instance, nonce, owner,
    walk::{steps, walk},
};

fn marker(g: u64, nonce: Nonce) -> Marker {
    Marker {
        instance: instance(),
        owner: OwnerDigits::of_uid(&owner().uid).unwrap(),
        generation: Generation(g),
        nonce,
    }
}

/// A credential with the label of attempt `g`, under any id.
fn listed(g: u64, id: CredentialId) -> Listed {
    Listed {
        id,
        marker: marker(g, nonce(g)),
    }
}

fn is_dead(listed: &Listed, ledger: &Ledger) -> bool {
    dead(listed, ledger, &instance()).is_some()
}

#[test]
fn only_what_a_spent_attempt_left_behind_is_dead() {
    let in_use = || Ledger::test().issued(ago(HOUR));
    let overlap = || in_use().issued(ago(MINUTE));
    let unsure = || in_use().unsure(ago(MINUTE));
    let rolled_back = Listed {
        id: id("newer"),
        marker: marker(1, nonce(99)),
    };
    let resolved = unsure().resolve(&[Generation(2)], NOON).unwrap();
    let cleared = overlap().marking(NOON).clear(&id_of(1), NOON).unwrap();
    for (case, ledger, listed, expected) in vec![
        ("the current one", in_use(), listed(1, id_of(1)), false),
        (
            "a duplicate with the current label",
            in_use(),
            listed(1, id("twin")),
            true,
        ),
        (
            "the pending one",
            Ledger::test().arming(NOON).filling(),
            listed(1, id_of(1)),
            false,
        ),
        (
            "its duplicate",
            Ledger::test().arming(NOON).filling(),
            listed(1, id("twin")),
            true,
        ),
        ("the retiring one", overlap(), listed(1, id_of(1)), false),
        ("its duplicate", overlap(), listed(1, id("twin")), true),
        (
            "one that is deleted by its id already",
            overlap().marking(NOON),
            listed(1, id_of(1)),
            false,
        ),
        (
            "its duplicate",
            overlap().marking(NOON),
            listed(1, id("twin")),
            true,
        ),
        (
            "an armed attempt",
            in_use().arming(NOON),
            listed(2, id("early")),
            false,
        ),
        (
            "an abandoned attempt",
            unsure(),
            listed(2, id("late")),
            true,
        ),
        ("a resolved attempt", resolved, listed(2, id("late")), true),
        (
            "an attempt proven gone that is listed still",
            cleared,
            listed(1, id_of(1)),
            true,
        ),
        (
            "an attempt that is not known",
            in_use(),
            listed(2, id("early")),
            false,
        ),
        (
            "a known number with an unknown nonce",
            in_use(),
            rolled_back,
            false,
        ),
    ] {
        assert_eq!(is_dead(&listed, &ledger), expected, "{case}");
        assert_eq!(
            dead(&listed, &ledger, &instance()).map(|condemned| condemned.id().clone()),
            expected.then_some(listed.id),
            "{case}"
        );
    }
}

#[test]
fn s6_what_carries_another_marker_is_never_dead() {
    let ledger = Ledger::test().unsure(NOON);
    let ours = listed(1, id("late"));
    assert!(is_dead(&ours, &ledger));
    let mut other_instance = ours.clone();
    other_instance.marker.instance = InstanceId::parse("ffffffff").unwrap();
    let mut other_owner = ours.clone();
    other_owner.marker.owner = OwnerDigits::parse("ffffffffffff").unwrap();
    let mut other_attempt = ours;
    other_attempt.marker.generation = Generation(2);
    for foreign in [other_instance, other_owner, other_attempt] {
        assert!(!is_dead(&foreign, &ledger), "{foreign:?}");
    }
}

#[test]
fn a_number_that_is_armed_again_after_a_restore_protects_its_credential() {
    let mut restored = Ledger::test().unsure(ago(HOUR));
    restored.attempt = Generation(0);
    let armed = restored.arming_with(NOON, |intent| intent.nonce = nonce(77));
    assert!(!is_dead(&listed(1, id("late")), &armed));
}

#[test]
fn an_owner_without_a_proper_uid_owns_nothing() {
    let mut ledger = Ledger::test().unsure(NOON);
    ledger.owner.uid = "no uid".to_owned();
    assert!(!is_dead(&listed(1, id("late")), &ledger));
}

proptest! {
    /// Once dead for some ledger, never in use in a later one: a stale view misdirects nothing.
    #[test]
    fn what_was_dead_once_never_comes_into_use(steps in steps()) {
        let trail = walk(&steps);
        let origins: Vec<_> = trail.iter().flat_map(|(_, _, ledger)| ledger.recorded()).collect();
        let ids: BTreeMap<_, _> = origins.into_iter().map(|origin| (&origin.id, origin)).collect();
        for (id, origin) in ids {
            let marker = marker(origin.generation.0, origin.nonce.clone().unwrap());
            let listed = Listed { id: id.clone(), marker };
            let later = trail.iter().skip_while(|(_, _, ledger)| !is_dead(&listed, ledger));
            for (step, _, ledger) in later {
                let used = ledger.recorded().any(|origin| origin.id == *id)
                    && ledger.deleting.iter().all(|doomed| doomed.origin.id != *id);
                prop_assert!(!used, "{step:?} took {id} into use");
            }
        }
    }
}
