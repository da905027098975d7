//! Each covered part counts, and so does where one part ends and the next begins.

use proptest::{collection::btree_map, prelude::*};

use super::*;
use crate::ledger::fixtures::id;

fn data(entries: &[(&str, &str)]) -> BTreeMap<String, ByteString> {
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), bytes(value)))
        .collect()
}

fn key() -> MacKey {
    MacKey::new(&[7; 32])
}

#[test]
fn the_mac_changes_with_each_covered_part() {
    let (id, other_id) = (id("cred-1"), id("cred-2"));
    let (data, other_data) = (data(&[("token", "a")]), data(&[("token", "b")]));
    let covered = Covered {
        owner_uid: "uid-1",
        epoch: Epoch(1),
        attempt: Generation(2),
        id: &id,
        rendering: "look",
        data: &data,
    };
    let mac = key().sign(&covered);
    assert!(key().verifies(&covered, &mac));
    for (part, changed) in [
        (
            "owner",
            Covered {
                owner_uid: "uid-2",
                ..covered
            },
        ),
        (
            "epoch",
            Covered {
                epoch: Epoch(2),
                ..covered
            },
        ),
        (
            "attempt",
            Covered {
                attempt: Generation(1),
                ..covered
            },
        ),
        (
            "id",
            Covered {
                id: &other_id,
                ..covered
            },
        ),
        (
            "rendering",
            Covered {
                rendering: "lookout",
                ..covered
            },
        ),
        (
            "data",
            Covered {
                data: &other_data,
                ..covered
            },
        ),
    ] {
        assert!(!key().verifies(&changed, &mac), "{part}");
    }
    assert!(
        !MacKey::new(&[8; 32]).verifies(&covered, &mac),
        "another key"
    );
}

#[test]
fn what_moves_between_key_and_value_or_between_keys_is_a_change() {
    let id = id("cred-1");
    let sign = |entries: &[(&str, &str)]| {
        let data = data(entries);
        let covered = Covered {
            owner_uid: "uid",
            epoch: Epoch(1),
            attempt: Generation(1),
            id: &id,
            rendering: "",
            data: &data,
        };
        key().sign(&covered)
    };
    let macs = [
        sign(&[]),
        sign(&[("ab", "c")]),
        sign(&[("a", "bc")]),
        sign(&[("abc", "")]),
        sign(&[("a", "b"), ("c", "")]),
        sign(&[("a", ""), ("b", "c")]),
    ];
    let distinct: std::collections::BTreeSet<_> = macs.iter().collect();
    assert_eq!(distinct.len(), macs.len());
}

#[test]
fn what_is_no_mac_verifies_nothing() {
    let (id, data) = (id("cred-1"), data(&[]));
    let covered = Covered {
        owner_uid: "uid",
        epoch: Epoch(1),
        attempt: Generation(1),
        id: &id,
        rendering: "",
        data: &data,
    };
    let mac = key().sign(&covered);
    for text in [
        "",
        "0",
        "zz",
        "ö",
        "öö",
        &mac[..62],
        &format!("{mac}00"),
        &format!("+{}", &mac[1..]),
    ] {
        assert!(!key().verifies(&covered, text), "{text}");
    }
}

#[test]
fn the_key_is_not_printed() {
    assert_eq!(
        format!("{:?}", MacKey::new(b"canary")),
        "MacKey([redacted])"
    );
}

proptest! {
    #[test]
    fn different_contents_never_look_alike(
        one in btree_map("[ab]{0,2}", "[ab]{0,3}", 0..3),
        two in btree_map("[ab]{0,2}", "[ab]{0,3}", 0..3),
    ) {
        let parts = |map: &BTreeMap<String, String>| {
            framed(map.iter().flat_map(|(key, value)| [key.as_bytes(), value.as_bytes()]))
        };
        prop_assert_eq!(parts(&one) == parts(&two), one == two);
    }

    #[test]
    fn hex_comes_back(bytes in any::<Vec<u8>>()) {
        prop_assert_eq!(unhex(&hex(&bytes)), Some(bytes));
    }
}
