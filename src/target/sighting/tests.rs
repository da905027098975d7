//! Ours or not, and whether anybody changed it.

use k8s_openapi::{
    ByteString,
    apimachinery::pkg::apis::meta::v1::{OwnerReference, Time},
};

use super::*;
use crate::{
    api::target::ValueName,
    ledger::fixtures::{NOON, id, owner},
    secret_value::SecretValue,
    target::render::{Presentation, Shown},
};

fn key() -> MacKey {
    MacKey::new(&[7; 32])
}

/// A target as the API server shows it.
fn target() -> Secret {
    let presentation = Presentation {
        name: "ci".to_owned(),
        kind: "Opaque".to_owned(),
        keys: [("TOKEN".to_owned(), ValueName::Token)].into(),
        labels: std::collections::BTreeMap::new(),
        annotations: std::collections::BTreeMap::new(),
    };
    let (id, value) = (id("cred-1"), SecretValue::new("s3cret".to_owned()));
    let shown = Shown {
        id: &id,
        attempt: Generation(3),
        epoch: Epoch(2),
        expires_at: None,
        value: &value,
    };
    let mut secret = presentation.render(&owner(), &shown, &key());
    secret.metadata.uid = Some("target-uid".to_owned());
    secret.metadata.resource_version = Some("7".to_owned());
    secret.metadata.creation_timestamp = Some(Time(NOON));
    secret
}

fn annotate(secret: &mut Secret, name: &str, value: &str) {
    secret
        .annotations_mut()
        .insert(name.to_owned(), value.to_owned());
}

/// What the planner sees of a target after somebody did this to it.
fn after(change: impl FnOnce(&mut Secret)) -> Target {
    let mut secret = target();
    change(&mut secret);
    Sighting::of(&secret, &key()).unwrap().target(&owner())
}

fn is_sound(target: &Target) -> bool {
    matches!(target, Target::Ours(seen) if seen.sound)
}

#[test]
fn our_own_target_is_ours_and_sound() {
    let Target::Ours(seen) = after(|_| {}) else {
        panic!("it is ours");
    };
    assert_eq!(
        (seen.epoch, seen.attempt, seen.id.as_str()),
        (Epoch(2), Generation(3), "cred-1")
    );
    assert!(seen.sound && !seen.immutable);
}

#[test]
fn whatever_was_edited_is_ours_and_unsound() {
    let note = |name: &'static str, value: &'static str| {
        after(move |secret| annotate(secret, name, value))
    };
    let edit = |key: &'static str, value: &'static [u8]| {
        after(move |secret| {
            secret
                .data
                .as_mut()
                .unwrap()
                .insert(key.to_owned(), ByteString(value.to_vec()));
        })
    };
    for (case, target) in [
        ("a value", edit("TOKEN", b"other")),
        ("one more key", edit("EXTRA", b"")),
        ("emptied", after(|secret| secret.data = None)),
        ("the epoch", note(annotations::EPOCH, "9")),
        ("no number", note(annotations::EPOCH, "many")),
        ("the attempt", note(annotations::ATTEMPT, "4")),
        ("the id", note(annotations::CREDENTIAL_ID, "cred-2")),
        ("no id at all", note(annotations::CREDENTIAL_ID, "../..")),
        ("the rendering", note(annotations::RENDERING, "other")),
        ("the MAC", note(annotations::MAC, "00")),
        (
            "no MAC",
            after(|secret| {
                secret.annotations_mut().remove(annotations::MAC);
            }),
        ),
    ] {
        assert!(matches!(target, Target::Ours(_)), "{case}");
        assert!(!is_sound(&target), "{case}");
    }
}

#[test]
fn what_others_add_beside_is_no_damage() {
    assert!(is_sound(&after(|secret| annotate(secret, "team", "a"))));
    assert!(is_sound(&after(|secret| {
        secret
            .labels_mut()
            .insert("team".to_owned(), "a".to_owned());
    })));
    let frozen = after(|secret| secret.immutable = Some(true));
    assert!(matches!(frozen, Target::Ours(seen) if seen.sound && seen.immutable));
}

#[test]
fn what_names_another_owner_or_none_is_foreign_whoever_signed_it() {
    let other = after(|secret| annotate(secret, annotations::OWNER_UID, "other-uid"));
    let holder = Some("MachineToken ci".to_owned());
    assert_eq!(other, Target::Foreign { holder });
    let bare = after(|secret| {
        secret.metadata.annotations = None;
        secret.metadata.labels = None;
    });
    assert_eq!(bare, Target::Foreign { holder: None });
}

#[test]
fn people_are_told_who_holds_a_foreign_secret() {
    let foreign = |change: fn(&mut Secret)| {
        after(|secret| {
            secret.metadata.annotations = None;
            change(secret);
        })
    };
    let reference = |secret: &mut Secret| {
        let owner = OwnerReference {
            kind: "Certificate".to_owned(),
            name: "web".to_owned(),
            ..OwnerReference::default()
        };
        secret.metadata.owner_references = Some(vec![owner]);
    };
    let label = |secret: &mut Secret| {
        secret
            .labels_mut()
            .insert(annotations::MANAGED_BY.to_owned(), "Helm".to_owned());
    };
    let holder = |text: &str| Target::Foreign {
        holder: Some(text.to_owned()),
    };
    assert_eq!(foreign(reference), holder("Certificate web"));
    assert_eq!(foreign(label), holder("Helm"));
}

#[test]
fn another_installations_key_makes_every_target_unsound() {
    let sighting = Sighting::of(&target(), &MacKey::new(&[8; 32])).unwrap();
    assert!(!is_sound(&sighting.target(&owner())));
}

#[test]
fn a_sighting_holds_names_and_versions_but_no_value() {
    let sighting = Sighting::of(&target(), &key()).unwrap();
    assert_eq!((sighting.version(), &*sighting.uid), ("7", "target-uid"));
    assert_eq!(
        (sighting.keys.clone(), sighting.created()),
        (vec!["TOKEN".to_owned()], Some(NOON))
    );
    assert!(!format!("{sighting:?}").contains("s3cret"));
    for broken in [
        |secret: &mut Secret| secret.metadata.uid = None,
        |secret: &mut Secret| secret.metadata.resource_version = None,
        |secret: &mut Secret| secret.metadata.resource_version = Some(String::new()),
    ] {
        let mut secret = target();
        broken(&mut secret);
        assert_eq!(Sighting::of(&secret, &key()), None);
    }
}
