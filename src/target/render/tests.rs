//! What is written into a target, and what is left out of it.

use proptest::{collection::btree_map, prelude::*};

use super::*;
use crate::ledger::fixtures::{NOON, id, owner};

fn map<T: Clone>(entries: &[(&str, T)]) -> BTreeMap<String, T> {
    entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect()
}

fn text(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    entries
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn presentation() -> Presentation {
    Presentation {
        name: "ci".to_owned(),
        kind: "Opaque".to_owned(),
        keys: map(&[("TOKEN", ValueName::Token), ("ID", ValueName::Id)]),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
    }
}

fn render(presentation: &Presentation, expires_at: Option<Timestamp>) -> Secret {
    let (id, value) = (id("cred-1"), SecretValue::new("s3cret".to_owned()));
    let shown = Shown {
        id: &id,
        attempt: Generation(3),
        epoch: Epoch(2),
        expires_at,
        value: &value,
    };
    presentation.render(&owner(), &shown, &MacKey::new(&[7; 32]))
}

fn data(presentation: &Presentation, expires_at: Option<Timestamp>) -> BTreeMap<String, String> {
    let data = render(presentation, expires_at).data.unwrap();
    let text = |bytes: ByteString| String::from_utf8(bytes.0).unwrap();
    data.into_iter()
        .map(|(key, bytes)| (key, text(bytes)))
        .collect()
}

#[test]
fn each_key_holds_the_value_that_it_names() {
    let twice = Presentation {
        keys: map(&[
            ("A", ValueName::Token),
            ("B", ValueName::Token),
            ("C", ValueName::Id),
            ("D", ValueName::ExpiresAt),
        ]),
        ..presentation()
    };
    let expected = [("A", "s3cret"), ("B", "s3cret"), ("C", "cred-1")];
    assert_eq!(data(&twice, None), text(&expected), "no end, no key");
    let ending = data(&twice, Some(NOON));
    assert_eq!(ending["D"], "2026-03-10T12:00:00Z");
    assert_eq!(ending.len(), 4);
}

#[test]
fn a_target_says_whose_it_is_and_what_it_shows() {
    let secret = render(&presentation(), None);
    assert_eq!(secret.metadata.name.as_deref(), Some("ci"));
    assert_eq!(secret.metadata.namespace.as_deref(), Some("team-a"));
    assert_eq!(secret.type_.as_deref(), Some("Opaque"));
    assert_eq!(secret.immutable, None);
    assert_eq!(
        secret.metadata.owner_references, None,
        "it outlives nothing by itself"
    );
    for (name, value) in [
        (annotations::OWNER_KIND, "MachineToken"),
        (annotations::OWNER_NAME, "ci"),
        (annotations::OWNER_UID, &owner().uid),
        (annotations::EPOCH, "2"),
        (annotations::ATTEMPT, "3"),
        (annotations::CREDENTIAL_ID, "cred-1"),
        (annotations::RENDERING, &presentation().digest()),
    ] {
        assert_eq!(secret.annotations()[name], value, "{name}");
    }
    assert_eq!(secret.labels()[annotations::MANAGED_BY], "handover");
    assert_eq!(secret.labels()[annotations::COMPONENT], "target");
}

#[test]
fn the_value_is_in_the_data_and_nowhere_else() {
    let mut secret = render(&presentation(), None);
    secret.data = None;
    assert!(!serde_json::to_string(&secret).unwrap().contains("s3cret"));
}

#[test]
fn a_74_the_users_text_is_kept_and_what_tools_act_on_is_dropped() {
    let reserved = [
        ("argocd.argoproj.io/tracking-id", "x"),
        ("app.kubernetes.io/managed-by", "Helm"),
        ("app.kubernetes.io/instance", "x"),
        ("handover.dev/component", "ledger"),
        ("handover.dev/owner-uid", "x"),
        ("team", "a"),
    ];
    let secret = render(
        &Presentation {
            labels: text(&reserved),
            annotations: text(&reserved),
            ..presentation()
        },
        None,
    );
    let own = [
        ("app.kubernetes.io/managed-by", "handover"),
        ("handover.dev/component", "target"),
        ("team", "a"),
    ];
    assert_eq!(*secret.labels(), text(&own));
    assert_eq!(secret.annotations()["handover.dev/owner-uid"], owner().uid);
    assert_eq!(secret.annotations()["team"], "a");
    assert!(
        !secret
            .annotations()
            .contains_key("argocd.argoproj.io/tracking-id")
    );
    assert!(!secret.annotations().contains_key("handover.dev/component"));
}

#[test]
fn the_digest_tells_every_field() {
    let base = presentation();
    let looks = [
        base.clone(),
        Presentation {
            name: "other".to_owned(),
            ..base.clone()
        },
        Presentation {
            kind: "example.com/token".to_owned(),
            ..base.clone()
        },
        Presentation {
            keys: map(&[("TOKEN", ValueName::Token)]),
            ..base.clone()
        },
        Presentation {
            keys: map(&[("TOKEN", ValueName::Id), ("ID", ValueName::Token)]),
            ..base.clone()
        },
        Presentation {
            labels: text(&[("a", "b")]),
            ..base.clone()
        },
        Presentation {
            labels: text(&[("ab", "")]),
            ..base.clone()
        },
        Presentation {
            annotations: text(&[("a", "b")]),
            ..base.clone()
        },
        Presentation {
            labels: text(&[("annotations", "")]),
            ..base.clone()
        },
        Presentation {
            annotations: text(&[("annotations", "")]),
            ..base
        },
    ];
    let digests: std::collections::BTreeSet<_> = looks.iter().map(Presentation::digest).collect();
    assert_eq!(digests.len(), looks.len());
}

proptest! {
    #[test]
    fn only_equal_presentations_have_equal_digests(one in any_presentation(), two in any_presentation()) {
        prop_assert_eq!(one.digest() == two.digest(), one == two);
        prop_assert_eq!(one.digest(), one.clone().digest());
    }
}

fn any_presentation() -> impl Strategy<Value = Presentation> {
    let words = || btree_map("a|labels|annotations", "(a|)", 0..2);
    let value = prop_oneof![Just(ValueName::Token), Just(ValueName::Id)];
    ("a|b", btree_map("a|labels", value, 0..2), words(), words()).prop_map(
        |(name, keys, labels, annotations)| Presentation {
            name,
            kind: "Opaque".to_owned(),
            keys,
            labels,
            annotations,
        },
    )
}
