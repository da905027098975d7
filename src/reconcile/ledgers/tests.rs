//! What is known of ledgers, whatever order watch and replies come in.

use kube::core::ObjectMeta;

use super::*;
use crate::{
    api::annotations,
    ledger::fixtures::{HOUR, NOON, ago, owner},
};

fn seen(ledger: &Ledger, uid: &str, version: u32) -> PartialObjectMeta<Secret> {
    let metadata = ObjectMeta {
        uid: Some(uid.to_owned()),
        resource_version: Some(version.to_string()),
        annotations: Some([(annotations::LEDGER.to_owned(), ledger.encode())].into()),
        ..ObjectMeta::default()
    };
    PartialObjectMeta {
        types: None,
        metadata,
        _phantom: std::marker::PhantomData,
    }
}

fn attempt(ledgers: &Ledgers) -> Option<u64> {
    ledgers
        .get(&owner().uid)
        .map(|snapshot| snapshot.ledger.attempt.0)
}

#[test]
fn versions_are_numbers_and_what_is_none_is_news() {
    assert!(is_newer("10", "9"));
    assert!(!is_newer("9", "10") && !is_newer("9", "9"));
    assert!(is_newer("18446744073709551616", "18446744073709551615"));
    assert!(is_newer("b", "a") && is_newer("a", "b") && is_newer("a", "7"));
    assert!(!is_newer("a", "a"));
}

#[test]
fn an_older_event_does_not_hide_a_newer_reply() {
    let (old, new) = (Ledger::test(), Ledger::test().issued(ago(HOUR)));
    let ledgers = Ledgers::default();
    let reply = Snapshot::from_metadata(&seen(&new, "u", 9).metadata).unwrap();
    ledgers.record(&reply);
    assert_eq!(ledgers.observe(Event::Apply(seen(&old, "u", 8))), None);
    assert_eq!(attempt(&ledgers), Some(1));
    assert_eq!(
        ledgers.observe(Event::Apply(seen(&new, "u", 9))),
        None,
        "our own write"
    );
    let newer = new.arming(NOON);
    assert_eq!(
        ledgers.observe(Event::Apply(seen(&newer, "u", 10))),
        Some(owner())
    );
    assert_eq!(attempt(&ledgers), Some(2));
}

#[test]
fn only_the_object_that_is_known_can_be_seen_to_go() {
    let ledgers = Ledgers::default();
    ledgers.observe(Event::Apply(seen(&Ledger::test(), "new", 9)));
    assert_eq!(
        ledgers.observe(Event::Delete(seen(&Ledger::test(), "old", 10))),
        None
    );
    assert_eq!(attempt(&ledgers), Some(0));
    let gone = Event::Delete(seen(&Ledger::test(), "new", 11));
    assert_eq!(ledgers.observe(gone), Some(owner()));
    assert_eq!(attempt(&ledgers), None);
}

#[test]
fn a_new_list_forgets_what_is_not_in_it() {
    let ledgers = Ledgers::default();
    ledgers.observe(Event::Apply(seen(&Ledger::test(), "u", 9)));
    ledgers.observe(Event::Init);
    assert_eq!(attempt(&ledgers), Some(0), "not before the list is whole");
    ledgers.observe(Event::InitDone);
    assert_eq!(attempt(&ledgers), None);
}
