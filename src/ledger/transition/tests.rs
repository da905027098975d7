//! Each transition where it applies and where it does not, then what holds along any walk.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::ledger::{
    fixtures::{
        DAY, HOUR, MILLISECOND, MINUTE, NOON, PATIENCE, SECOND, SPEC, ago, ahead, backoff, id,
        id_of, intent, nonce, origin, owner,
        walk::{Step, steps, walk},
    },
    ids::Generation as G,
};

#[test]
fn only_an_idle_ledger_is_armed_and_only_with_the_next_number() {
    let idle = || Ledger::test().issued(ago(DAY));
    for (state, ledger, free) in [
        ("never used", Ledger::test(), true),
        ("settled", idle(), true),
        ("revoking", idle().issued(ago(HOUR)).marking(NOON), true),
        ("unsure", idle().unsure(ago(HOUR)), true),
        ("armed", idle().arming(NOON), false),
        ("pending", idle().arming(NOON).filling(), false),
        ("retiring", idle().issued(ago(HOUR)), false),
        ("buried", idle().bury(None, NOON).unwrap(), false),
        ("kept", idle().bury(Some(PATIENCE), NOON).unwrap(), false),
    ] {
        let next = ledger.attempt.next().0;
        assert_eq!(
            ledger.arm(intent(next, NOON), DAY).is_some(),
            free,
            "{state}"
        );
        for wrong in [next - 1, next + 1] {
            assert_eq!(
                ledger.arm(intent(wrong, NOON), DAY),
                None,
                "{state}, number {wrong}"
            );
        }
    }
}

#[test]
fn a_create_counts_when_it_is_armed_and_a_promotion_clears_what_was_fruitless() {
    let counts = |ledger: &Ledger| (ledger.budget.count, ledger.budget.fruitless);
    let armed = Ledger::test().arming(NOON);
    assert_eq!(counts(&armed), (1, 1));
    assert_eq!(counts(&armed.disarm(G(1), backoff(NOON)).unwrap()), (0, 0));
    assert_eq!(counts(&armed.abandon(G(1), NOON, None).unwrap()), (1, 1));
    let pending = armed.filling();
    assert_eq!(counts(&pending.reject(G(1), NOON, None).unwrap()), (1, 1));
    assert_eq!(counts(&pending.promoting()), (1, 0));
}

#[test]
fn the_window_begins_with_its_first_create_and_ends_to_the_millisecond() {
    let spent = Ledger::test().spending(ago(DAY), 7, 3);
    let running = spent.clone().arming(ago(MILLISECOND));
    assert_eq!(
        running.budget,
        Budget {
            since: Some(ago(DAY)),
            count: 8,
            fruitless: 4
        }
    );
    let over = spent.arming(NOON);
    assert_eq!(
        over.budget,
        Budget {
            since: Some(NOON),
            count: 1,
            fruitless: 1
        }
    );
}

#[test]
fn spent_attempts_are_forgotten_after_the_window() {
    let disarmed = Ledger::test()
        .arming(ago(DAY))
        .disarm(G(1), backoff(NOON))
        .unwrap();
    assert_eq!(disarmed.clone().arming(ago(MILLISECOND)).spent.len(), 1);
    assert_eq!(disarmed.arming(NOON).spent.len(), 0);
}

#[test]
fn a_refused_create_leaves_a_wait_and_its_nonce() {
    let wait = backoff(ahead(MINUTE));
    let ledger = Ledger::test()
        .arming(NOON)
        .disarm(G(1), wait.clone())
        .unwrap();
    assert_eq!((ledger.intent, ledger.backoff), (None, Some(wait)));
    assert_eq!(
        ledger.spent,
        [Spent {
            generation: G(1),
            nonce: nonce(1),
            at: NOON
        }]
    );
}

#[test]
fn an_abandoned_intent_can_be_neither_filled_nor_disarmed() {
    let ledger = Ledger::test().unsure(NOON);
    assert_eq!(ledger.abandoned.len(), 1);
    assert_eq!(ledger.fill(G(1), id_of(1), None, NOON), None);
    assert_eq!(ledger.disarm(G(1), backoff(NOON)), None);
    assert_eq!(ledger.abandon(G(1), NOON, None), None);
}

#[test]
fn abandoning_without_a_new_wait_keeps_the_old_one() {
    let old = backoff(ago(HOUR));
    let mut ledger = Ledger::test().arming(NOON);
    ledger.backoff = Some(old.clone());
    assert_eq!(ledger.abandon(G(1), NOON, None).unwrap().backoff, Some(old));
    let new = backoff(ahead(HOUR));
    let abandoned = ledger.abandon(G(1), NOON, Some(new.clone())).unwrap();
    assert_eq!(abandoned.backoff, Some(new));
}

#[test]
fn what_was_asked_for_follows_the_credential_to_the_end() {
    let asked = ago(MINUTE);
    let armed = Ledger::test().issued(ago(DAY)).arming_with(NOON, |intent| {
        intent.request = Some(asked);
        intent.expires_at = Some(ahead(DAY));
        intent.cause = Cause::Requested;
    });
    assert_eq!(
        armed.last_rotate_at, None,
        "handled at the promotion, not before"
    );
    let current = armed.filling().promoting();
    assert_eq!(current.last_rotate_at, Some(asked));
    let used = current.current.unwrap();
    assert_eq!(used.origin.expires_at, Some(ahead(DAY)));
    assert_eq!(
        (used.origin.cause, used.origin.at),
        (Cause::Requested, NOON)
    );
    assert_eq!(used.previous_id, Some(id_of(1)));
}

#[test]
fn an_older_request_does_not_undo_a_newer_one() {
    let mut ledger = Ledger::test().issued(ago(DAY));
    ledger.last_rotate_at = Some(NOON);
    let armed = ledger.arming_with(NOON, |intent| intent.request = Some(ago(HOUR)));
    assert_eq!(armed.filling().promoting().last_rotate_at, Some(NOON));
}

#[test]
fn a_known_id_is_never_recorded_twice() {
    let ledger = Ledger::test()
        .issued(ago(DAY))
        .issued(ago(HOUR))
        .marking(ago(MINUTE));
    for known in [id_of(1), id_of(2)] {
        let armed = ledger.clone().arming(NOON);
        assert_eq!(armed.fill(G(3), known.clone(), None, NOON), None, "{known}");
        let unsure = armed.abandon(G(3), NOON, None).unwrap();
        assert_eq!(
            unsure.compensate(G(3), known.clone(), NOON),
            None,
            "{known}"
        );
    }
}

#[test]
fn a_late_id_is_deleted_and_its_attempt_resolved() {
    let ledger = Ledger::test()
        .unsure(ago(HOUR))
        .compensate(G(1), id("late"), NOON)
        .unwrap();
    assert_eq!(ledger.abandoned, []);
    assert_eq!(ledger.deleting.len(), 1);
    assert_eq!(ledger.deleting[0].origin.nonce, Some(nonce(1)));
    assert_eq!(Ledger::test().compensate(G(1), id("late"), NOON), None);
}

#[test]
fn a_promotion_counts_and_retires_the_one_before() {
    let first = Ledger::test().issued(ago(DAY));
    assert_eq!((first.epoch, first.rotations), (Epoch(1), 0));
    let second = first.issued(NOON);
    assert_eq!((second.epoch, second.rotations), (Epoch(2), 1));
    let retiring = second.retiring.clone().unwrap();
    assert_eq!(retiring.origin.id, id_of(1));
    assert_eq!(
        retiring.distributed_at, None,
        "the target has not followed yet"
    );
    assert_eq!(second.holds(), BTreeSet::from([G(1), G(2)]));
}

#[test]
fn what_is_flawed_or_buried_is_never_promoted() {
    let armed = Ledger::test().arming(NOON);
    let flawed = armed
        .fill(G(1), id_of(1), Some(Flaw::WrongScopes), NOON)
        .unwrap();
    assert_eq!(flawed.promote(G(1), Proof::Probed, NOON), None);
    let stale = Ledger::test().arming(NOON).filling();
    assert_eq!(
        stale.promote(G(2), Proof::Probed, NOON),
        None,
        "another attempt"
    );
    let mut buried = stale;
    buried.tombstone = Some(Tombstone {
        at: NOON,
        retain: None,
    });
    assert_eq!(buried.promote(G(1), Proof::Probed, NOON), None);
}

#[test]
fn a_rejected_credential_leaves_the_one_in_use_alone() {
    let before = Ledger::test().issued(ago(DAY));
    let ledger = before
        .clone()
        .arming(NOON)
        .filling()
        .reject(G(2), NOON, None)
        .unwrap();
    assert_eq!(
        (&ledger.current, ledger.epoch),
        (&before.current, before.epoch)
    );
    assert_eq!(
        (ledger.pending, ledger.deleting[0].origin.id.clone()),
        (None, id_of(2))
    );
}

#[test]
fn the_overlap_counts_from_the_newest_delivery_of_the_right_epoch() {
    let ledger = Ledger::test().issued(ago(DAY)).issued(ago(HOUR));
    assert_eq!(ledger.distributed(Epoch(1), NOON), None, "an older epoch");
    let begun = ledger.overlapping(ago(MINUTE));
    assert_eq!(
        begun.distributed(Epoch(2), ago(MINUTE)),
        None,
        "known already"
    );
    assert_eq!(
        begun.distributed(Epoch(2), ago(HOUR)),
        None,
        "never earlier"
    );
    let again = begun.distributed(Epoch(2), NOON).unwrap();
    assert_eq!(again.retiring.unwrap().distributed_at, Some(NOON));
    let suspended = begun.suspend_overlap().unwrap();
    assert_eq!(suspended.retiring.as_ref().unwrap().distributed_at, None);
    assert_eq!(suspended.suspend_overlap(), None);
    assert_eq!(
        Ledger::test().issued(NOON).distributed(Epoch(1), NOON),
        None
    );
}

#[test]
fn only_the_retiring_credential_can_be_marked() {
    let ledger = Ledger::test().issued(ago(DAY)).issued(ago(HOUR));
    assert_eq!(ledger.mark(&id_of(2), NOON), None, "the one in use");
    let marked = ledger.mark(&id_of(1), NOON).unwrap();
    assert_eq!(marked.retiring, None);
    assert_eq!(
        marked.deleting,
        [Doomed {
            origin: origin(1, ago(DAY)),
            since: NOON
        }]
    );
    assert_eq!(marked.mark(&id_of(1), NOON), None, "once");
}

#[test]
fn the_end_of_a_life_is_kept_to_the_millisecond() {
    let ledger = Ledger::test().issued(ago(DAY)).ending(NOON);
    assert_eq!(ledger.condemn_expired(ago(MILLISECOND)), None);
    let over = ledger.condemn_expired(NOON).unwrap();
    assert_eq!((over.current, over.deleting.len()), (None, 1));
}

#[test]
fn every_expired_entry_is_condemned_at_once() {
    let mut ledger = Ledger::test()
        .issued(ago(DAY))
        .issued(ago(HOUR))
        .ending(NOON);
    ledger.retiring.as_mut().unwrap().origin.expires_at = Some(ago(HOUR));
    let over = ledger.condemn_expired(NOON).unwrap();
    assert_eq!(
        (over.current, over.retiring, over.deleting.len()),
        (None, None, 2)
    );
}

#[test]
fn a_credential_that_outlives_its_successor_is_used_again() {
    let ledger = Ledger::test()
        .issued(ago(DAY))
        .issued(ago(HOUR))
        .ending(NOON);
    let restored = ledger.condemn_expired(NOON).unwrap();
    assert_eq!(restored.deleting[0].origin.id, id_of(2));
    let current = restored.current.unwrap();
    assert_eq!(
        (current.origin.id, current.previous_id),
        (id_of(1), Some(id_of(2)))
    );
    assert_eq!((restored.retiring, restored.epoch), (None, Epoch(3)));
}

#[test]
fn what_is_proven_gone_is_remembered_ten_times() {
    let mut ledger = Ledger::test().issued(ago(DAY * 20));
    for day in (1..=12).rev() {
        ledger = ledger.issued(ago(DAY * day)).marking(ago(DAY * day));
        let gone = ledger.deleting[0].origin.id.clone();
        ledger = ledger.clear(&gone, ago(DAY * day)).unwrap();
    }
    let ids: Vec<_> = ledger.history.iter().map(|past| past.id.clone()).collect();
    assert_eq!(ids, (3..=12).map(id_of).collect::<Vec<_>>());
    assert_eq!(ledger.clear(&id_of(12), NOON), None, "only once");
    assert_eq!(ledger.clear(&id_of(13), NOON), None, "never the one in use");
}

#[test]
fn a_person_settles_only_what_is_unresolved() {
    let ledger = Ledger::test().unsure(ago(HOUR)).unsure(ago(MINUTE));
    assert_eq!(ledger.resolve(&[], NOON), None);
    assert_eq!(ledger.resolve(&[G(7)], NOON), None);
    let settled = ledger.resolve(&[G(2), G(7)], NOON).unwrap();
    assert_eq!(
        settled
            .abandoned
            .iter()
            .map(|a| a.generation)
            .collect::<Vec<_>>(),
        [G(1)]
    );
    assert_eq!(
        settled.spent,
        [Spent {
            generation: G(2),
            nonce: nonce(2),
            at: NOON
        }]
    );
}

#[test]
fn burying_condemns_everything_or_keeps_what_is_in_use() {
    let overlap = Ledger::test().issued(ago(DAY)).issued(ago(HOUR));
    let buried = overlap.bury(None, NOON).unwrap();
    assert_eq!((buried.holds().len(), buried.deleting.len()), (0, 2));
    let kept = overlap.bury(Some(PATIENCE), NOON).unwrap();
    assert_eq!((kept.holds(), kept.deleting), (overlap.holds(), vec![]));
    assert_eq!(buried.bury(None, NOON), None, "once");

    let pending = Ledger::test()
        .issued(ago(DAY))
        .arming(ago(MINUTE))
        .filling();
    let kept = pending.bury(Some(PATIENCE), NOON).unwrap();
    assert_eq!(
        (kept.holds(), kept.deleting.len()),
        (BTreeSet::from([G(1)]), 1)
    );

    let armed = Ledger::test().arming(NOON).bury(None, NOON).unwrap();
    assert_eq!((armed.intent, armed.abandoned.len()), (None, 1));
}

#[test]
fn a_create_that_was_never_sent_is_withdrawn_without_a_trace_of_doubt() {
    let armed = Ledger::test().arming(NOON);
    assert_eq!(armed.withdraw(G(2), NOON), None);
    let gone = armed.withdraw(G(1), NOON).unwrap();
    assert_eq!((gone.intent, gone.abandoned), (None, vec![]));
    assert_eq!((gone.spent.len(), gone.tombstone.is_some()), (1, true));
}

#[test]
fn a_forfeited_credential_stays_in_use_and_is_known_as_such() {
    let ledger = Ledger::test().issued(ago(DAY));
    assert!(!ledger.current.as_ref().unwrap().is_forfeit());
    let forfeited = ledger.forfeit(NOON).unwrap();
    assert!(forfeited.current.as_ref().unwrap().is_forfeit());
    assert_eq!(forfeited.forfeit(NOON), None);
    assert_eq!(Ledger::test().forfeit(NOON), None);
}

#[test]
fn a_rebuilt_ledger_counts_on_from_what_the_target_shows() {
    let rebuilt = |value_at_hand| {
        let origin = Origin {
            nonce: None,
            ..origin(7, ago(DAY))
        };
        Ledger::rebuilt(
            owner(),
            "ci".to_owned(),
            origin,
            Epoch(4),
            value_at_hand,
            NOON,
        )
    };
    let verified = rebuilt(true).promoting();
    assert_eq!((verified.epoch, verified.attempt), (Epoch(5), G(7)));
    let kept = rebuilt(false);
    assert_eq!(kept.epoch, Epoch(4), "the target shows it already");
    assert_eq!(kept.arming(NOON).attempt, G(8));
}

#[test]
fn waits_double_from_a_minute_to_thirty_two_hours() {
    let waits = (MINUTE, HOUR * 32);
    let mut before: Option<Backoff> = None;
    let mut seen = Vec::new();
    for _ in 0..40 {
        let next = Backoff::after(
            before.as_ref(),
            Failure::Throttled,
            (SPEC, None),
            NOON,
            waits,
        );
        seen.push(next.until.duration_since(NOON));
        before = Some(next);
    }
    assert_eq!(seen[..4], [MINUTE, MINUTE * 2, MINUTE * 4, MINUTE * 8]);
    assert!(seen.is_sorted());
    assert_eq!(seen[11..], [HOUR * 32; 29]);
}

#[test]
fn other_inputs_begin_the_waits_anew() {
    let before = Backoff {
        n: 9,
        ..backoff(NOON)
    };
    let waits = (MINUTE, HOUR);
    let same =
        |inputs| Backoff::after(Some(&before), Failure::NotSent, (inputs, None), NOON, waits);
    assert_eq!((same("inputs-1").n, same("inputs-2").n), (10, 1));
}

#[test]
fn a_wait_is_finite_at_the_end_of_time() {
    let waits = (MINUTE, HOUR);
    let next = Backoff::after(None, Failure::NotSent, (SPEC, None), Timestamp::MAX, waits);
    assert_eq!(next.until, Timestamp::MAX);
    assert_eq!(after(NOON, SECOND), ahead(SECOND));
}

proptest! {
    #[test]
    fn s7_numbers_only_grow_and_what_is_doomed_stays_doomed(steps in steps()) {
        let trail = walk(&steps);
        for pair in trail.windows(2) {
            let ((_, _, before), (step, _, next)) = (&pair[0], &pair[1]);
            prop_assert!(next.attempt >= before.attempt && next.epoch >= before.epoch);
            for doomed in &before.deleting {
                let id = &doomed.origin.id;
                let stays = next.deleting.contains(doomed);
                let cleared = matches!(step, Step::Clear(_))
                    && next.history.last().is_some_and(|past| past.id == *id)
                    && next.recorded().all(|origin| origin.id != *id);
                prop_assert!(stays || cleared, "{step:?} let {id} go");
            }
            for abandoned in &before.abandoned {
                let pair = (abandoned.generation, &abandoned.nonce);
                let stays = next.abandoned.contains(abandoned);
                let settled = next.spent.iter().any(|s| (s.generation, &s.nonce) == pair);
                let found = next.deleting.iter().any(|d| d.origin.generation == pair.0);
                prop_assert!(stays || settled || found, "{step:?} forgot attempt {}", pair.0);
            }
        }
    }

    #[test]
    fn every_transition_changes_the_record_and_keeps_it_sound(steps in steps()) {
        let trail = walk(&steps);
        for pair in trail.windows(2) {
            prop_assert_ne!(&pair[0].2, &pair[1].2, "{:?}", pair[1].0);
        }
        for (step, _, ledger) in &trail {
            let ids: Vec<_> = ledger.recorded().map(|origin| &origin.id).collect();
            let distinct: BTreeSet<_> = ids.iter().collect();
            prop_assert_eq!(ids.len(), distinct.len(), "{:?}: one id twice", step);
            let in_hand = [
                ledger.intent.is_some(),
                ledger.pending.is_some(),
                ledger.retiring.is_some(),
            ];
            let in_hand = in_hand.into_iter().filter(|held| *held).count();
            prop_assert!(in_hand <= 1, "{step:?}: more than one attempt in hand");
            prop_assert!(ledger.retiring.is_none() || ledger.current.is_some(), "{step:?}");
            prop_assert!(ledger.budget.fruitless <= ledger.budget.count, "{step:?}");
            prop_assert!(ledger.history.len() <= 10);
        }
    }

    #[test]
    fn s5_no_attempt_is_armed_twice(steps in steps()) {
        let trail = walk(&steps);
        let armed = trail.iter().filter(|(step, ..)| matches!(step, Step::Arm { .. }));
        let pairs: Vec<_> = armed
            .filter_map(|(_, _, ledger)| ledger.intent.as_ref())
            .map(|intent| (intent.generation, intent.nonce.clone()))
            .collect();
        prop_assert!(pairs.windows(2).all(|two| two[0].0 < two[1].0));
    }

    #[test]
    fn a_buried_ledger_stays_buried_and_is_never_armed(steps in steps()) {
        let trail = walk(&steps);
        let buried = trail.iter().skip_while(|(_, _, ledger)| ledger.tombstone.is_none());
        let mut promoted = None;
        for (step, _, ledger) in buried {
            prop_assert!(ledger.tombstone.is_some() && ledger.intent.is_none(), "{step:?}");
            prop_assert!(ledger.pending.is_none(), "{step:?}");
            let numbers = (ledger.attempt, ledger.rotations);
            prop_assert_eq!(*promoted.get_or_insert(numbers), numbers);
        }
    }
}
