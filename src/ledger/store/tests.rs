//! What a compare-and-swap sends, and what a Secret is read as.

use proptest::prelude::*;

use super::*;
use crate::ledger::fixtures::{
    DAY, HOUR, NOON, ago, owner,
    walk::{Step, steps, walk},
};

/// The Secret of a ledger, with the values that it holds.
fn secret(ledger: &Ledger) -> Secret {
    let mut secret = first(ledger, None);
    secret.metadata.uid = Some("ledger-uid".to_owned());
    secret.metadata.resource_version = Some("7".to_owned());
    let held = ledger.holds().into_iter();
    secret.data = Some(
        held.map(|g| (key(g), ByteString(b"value".to_vec())))
            .collect(),
    );
    secret
}

fn snapshot(ledger: &Ledger) -> Snapshot {
    Snapshot::try_from(secret(ledger)).unwrap()
}

#[test]
fn the_name_tells_kind_and_uid() {
    assert_eq!(
        name_of(&owner()),
        "ledger-machinetoken-0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
    );
}

#[test]
fn a_write_names_what_it_was_planned_on() {
    let before = Ledger::test().issued(ago(DAY));
    let next = before.clone().arming(NOON);
    let patch = snapshot(&before).patch_to(&next, None);
    assert_eq!(patch["metadata"]["uid"], "ledger-uid");
    assert_eq!(patch["metadata"]["resourceVersion"], "7");
    assert_eq!(
        patch["metadata"]["annotations"][annotations::LEDGER],
        next.encode()
    );
    assert_eq!(patch["data"], json!({}), "values stay as they are");
}

#[test]
fn id_and_value_become_durable_in_one_write_and_leave_in_one() {
    let armed = Ledger::test().issued(ago(DAY)).arming(ago(HOUR));
    let filled = armed.clone().filling();
    let value = SecretValue::new("new".to_owned());
    let patch = snapshot(&armed).patch_to(&filled, Some((Generation(2), &value)));
    assert_eq!(patch["data"], json!({ "v.2": ByteString(b"new".to_vec()) }));

    let overlap = filled.promoting();
    let patch = snapshot(&overlap).patch_to(&overlap.clone().marking(NOON), None);
    assert_eq!(patch["data"], json!({ "v.1": null }));
}

#[test]
fn a_whole_secret_gives_the_values_that_its_record_holds_and_no_others() {
    let ledger = Ledger::test().issued(ago(DAY));
    let mut stored = secret(&ledger);
    let data = stored.data.as_mut().unwrap();
    data.insert("v.9".to_owned(), ByteString(b"stale".to_vec()));
    let whole = Snapshot::try_from(stored).unwrap();
    assert_eq!(whole.value(Generation(1)).unwrap().get().expose(), "value");
    assert!(whole.value(Generation(9)).is_none());
    assert!(whole.without_values().value(Generation(1)).is_none());

    let mut broken = secret(&ledger);
    broken.data = Some([("v.1".to_owned(), ByteString(vec![0xff]))].into());
    assert!(
        Snapshot::try_from(broken)
            .unwrap()
            .value(Generation(1))
            .is_none()
    );
}

#[test]
fn an_object_that_cannot_be_swapped_is_not_taken_for_a_ledger() {
    let good = secret(&Ledger::test()).metadata;
    let read = |change: fn(&mut ObjectMeta)| {
        let mut metadata = good.clone();
        change(&mut metadata);
        Snapshot::from_metadata(&metadata).map(|seen| seen.ledger)
    };
    assert_eq!(read(|_| {}), Ok(Ledger::test()));
    assert_eq!(read(|m| m.uid = None), Err(LedgerError::Nameless));
    assert_eq!(
        read(|m| m.resource_version = None),
        Err(LedgerError::Nameless)
    );
    assert_eq!(
        read(|m| m.resource_version = Some(String::new())),
        Err(LedgerError::Nameless)
    );
    let damaged = Err(LedgerError::Unreadable(Unreadable::Damaged));
    assert_eq!(read(|m| m.annotations = None), damaged);
}

#[test]
fn a_re_created_ledger_is_another_object() {
    let old = snapshot(&Ledger::test());
    let mut again = secret(&Ledger::test());
    again.metadata.uid = Some("another-uid".to_owned());
    assert!(old.is_same_object(&old.without_values()));
    assert!(!old.is_same_object(&Snapshot::try_from(again).unwrap()));
}

#[test]
fn settled_attempts_are_read_from_the_ledger_too() {
    let mut stored = secret(&Ledger::test());
    let resolved = (
        annotations::RESOLVED_ATTEMPTS.to_owned(),
        "3, x,-1,,4".to_owned(),
    );
    stored.annotations_mut().extend([resolved]);
    let seen = Snapshot::try_from(stored).unwrap();
    assert_eq!(seen.resolved, [Generation(3), Generation(4)]);
    assert_eq!(attempts(""), []);
}

#[test]
fn a_first_record_can_bring_its_value_along() {
    let ledger = Ledger::test().arming(NOON).filling();
    let value = SecretValue::new("kept".to_owned());
    let secret = first(&ledger, Some((Generation(1), &value)));
    assert_eq!(secret.metadata.name, Some(name_of(&ledger.owner)));
    assert_eq!(
        secret.labels()[annotations::COMPONENT],
        annotations::COMPONENT_LEDGER
    );
    assert_eq!(secret.data.unwrap()["v.1"].0, b"kept");
}

proptest! {
    /// Recorded ⇒ value held, and a value that is no longer needed is gone, along any life.
    #[test]
    fn s3_values_are_held_exactly_for_pending_current_and_retiring(steps in steps()) {
        let trail = walk(&steps);
        let mut stored: BTreeMap<String, Value> = BTreeMap::new();
        for pair in trail.windows(2) {
            let ((_, _, before), (step, _, next)) = (&pair[0], &pair[1]);
            let value = SecretValue::new("value".to_owned());
            let filled = matches!(step, Step::Fill(_)).then_some((next.attempt, &value));
            let patch = snapshot(before).patch_to(next, filled);
            for (key, value) in patch["data"].as_object().unwrap() {
                if value.is_null() {
                    stored.remove(key);
                } else {
                    stored.insert(key.clone(), value.clone());
                }
            }
            let held: Vec<_> = stored.keys().cloned().collect();
            let entries = [
                next.pending.as_ref().map(|p| p.origin.generation),
                next.current.as_ref().map(|c| c.origin.generation),
                next.retiring.as_ref().map(|r| r.origin.generation),
            ];
            let mut needed: Vec<_> = entries.into_iter().flatten().map(key).collect();
            needed.sort();
            prop_assert_eq!(held, needed, "{:?}", step);
        }
    }
}
