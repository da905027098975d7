//! The codec: what is written is read again, and what cannot be read is refused without being quoted.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ledger::fixtures::{
    HOUR, NOON, ago,
    walk::{any_ledger, steps, walk},
};

fn refused(text: &str) -> Unreadable {
    let refused = Ledger::decode(text).unwrap_err();
    assert!(!refused.to_string().contains("canary"), "{text}");
    assert!(!format!("{refused:?}").contains("canary"), "{text}");
    refused
}

#[test]
fn a_damaged_record_is_refused_and_not_quoted() {
    let good = Ledger::test().issued(ago(HOUR)).encode();
    let cut = &good[..good.len() - 1];
    let no_owner = r#"{"format":1,"target":"canary"}"#;
    let unsafe_id = good.replace("cred-1", "canary/../1");
    let no_time = good.replace("2026-03-10T11:00:00Z", "canary");
    assert!(unsafe_id != good && no_time != good);
    let texts = [
        "",
        "canary",
        "[]",
        "{}",
        r#"{"format":"canary"}"#,
        no_owner,
        cut,
    ];
    for text in texts.into_iter().chain([&*unsafe_id, &*no_time]) {
        assert_eq!(refused(text), Unreadable::Damaged, "{text}");
    }
}

#[test]
fn the_record_of_a_newer_program_is_refused_by_its_number() {
    for format in [0, 2, 255] {
        let text = json!({ "format": format, "canary": "unknown to us" }).to_string();
        assert_eq!(refused(&text), Unreadable::Format(format));
    }
}

#[test]
fn a_record_of_the_first_day_still_decodes() {
    let text = json!({
        "format": 1,
        "owner": { "kind": "MachineToken", "namespace": "team-a", "name": "ci", "uid": Ledger::test().owner.uid },
        "target": "ci",
        "attempt": 0,
        "epoch": 0,
    });
    assert_eq!(Ledger::decode(&text.to_string()), Ok(Ledger::test()));
}

#[test]
fn fields_that_may_be_absent_are_absent_when_empty() {
    let text = Ledger::test().issued(ago(HOUR)).encode();
    let value: Value = serde_json::from_str(&text).unwrap();
    for absent in [
        "intent",
        "pending",
        "retiring",
        "deleting",
        "backoff",
        "tombstone",
    ] {
        assert_eq!(value.get(absent), None, "{absent}");
    }
    let current = &value["current"];
    assert_eq!(
        (&current["g"], &current["id"]),
        (&json!(1), &json!("cred-1"))
    );
    assert_eq!(current.get("expiresAt"), None);
}

#[test]
fn recorded_names_what_is_not_proven_gone_and_holds_what_may_be_needed() {
    let ledger = Ledger::test()
        .issued(ago(HOUR))
        .issued(ago(HOUR))
        .marking(NOON)
        .issued(NOON);
    let recorded: Vec<_> = ledger.recorded().map(|o| o.generation.0).collect();
    assert_eq!(recorded, [3, 2, 1]);
    let held: Vec<_> = ledger.holds().into_iter().map(|g| g.0).collect();
    assert_eq!(held, [2, 3], "the value of what is doomed is dropped");
}

proptest! {
    #[test]
    fn any_ledger_comes_back_from_its_text(ledger in any_ledger()) {
        prop_assert_eq!(Ledger::decode(&ledger.encode()), Ok(ledger));
    }

    #[test]
    fn every_reachable_ledger_comes_back_from_its_text(steps in steps()) {
        let (_, _, ledger) = walk(&steps).pop().unwrap();
        prop_assert_eq!(Ledger::decode(&ledger.encode()), Ok(ledger));
    }

    #[test]
    fn no_text_makes_the_decoder_panic(text in "\\PC{0,200}", cut in 0usize..400) {
        let _ = refused(&text);
        let good = Ledger::test().issued(ago(HOUR)).encode();
        if let Some(text) = good.get(..cut) {
            prop_assert!(Ledger::decode(text).is_err());
        }
    }
}
