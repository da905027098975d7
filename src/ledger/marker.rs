//! The ownership marker at the provider: the only thing that survives a lost answer.
//!
//! `<instance8>:<uid12>:<g>:<nonce16>`, then one space and whatever a person likes to read there. A
//! server that cuts a long label cuts the human part, never the proof of ownership.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::Generation;

/// Which installation: eight lower-case hex digits, made once and kept in `handover-instance`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceId(String);

/// Which resource: the first twelve hex digits of its uid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnerDigits(String);

/// Which attempt, beyond its number: sixteen random hex digits, so that a counter that was set back
/// (a restored backup) never makes two attempts look alike.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Nonce(String);

/// Text that is not the id it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0} lower-case hex digits")]
pub struct NotHex(usize);

fn hex(text: &str, digits: usize) -> Result<String, NotHex> {
    let fits = text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(NotHex(digits))
    }
}

macro_rules! hex_id {
    ($name:ident, $digits:literal) => {
        impl $name {
            /// Accepts exactly this many lower-case hex digits.
            pub fn parse(text: &str) -> Result<Self, NotHex> {
                hex(text, $digits).map(Self)
            }

            /// The digits.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NotHex;

            fn try_from(text: String) -> Result<Self, NotHex> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

hex_id!(InstanceId, 8);
hex_id!(OwnerDigits, 12);
hex_id!(Nonce, 16);

impl OwnerDigits {
    /// The first twelve hex digits of a Kubernetes uid, dashes left out.
    pub fn of_uid(uid: &str) -> Result<Self, NotHex> {
        let digits: String = uid.chars().filter(|c| *c != '-').take(12).collect();
        Self::parse(&digits.to_ascii_lowercase())
    }
}

/// Installation, resource and attempt: what we write in front of every label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Marker {
    /// The installation.
    pub instance: InstanceId,
    /// The resource.
    pub owner: OwnerDigits,
    /// The number of the attempt.
    pub generation: Generation,
    /// Its nonce.
    pub nonce: Nonce,
}

impl Marker {
    /// The marker in front of a label, if the label is one of ours (of any installation).
    pub fn parse(label: &str) -> Option<Self> {
        let marker = label.split_once(' ').map_or(label, |(marker, _)| marker);
        let mut parts = marker.split(':');
        let (instance, owner, generation, nonce) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let plain_number =
            (1..=20).contains(&generation.len()) && generation.bytes().all(|b| b.is_ascii_digit());
        if parts.next().is_some() || !plain_number {
            return None;
        }
        Some(Self {
            instance: InstanceId::parse(instance).ok()?,
            owner: OwnerDigits::parse(owner).ok()?,
            generation: Generation(generation.parse().ok()?),
            nonce: Nonce::parse(nonce).ok()?,
        })
    }

    /// The label to send: the marker, then as much of `display_name` as fits into `max` characters.
    /// Control characters are dropped; the cut falls between characters.
    pub fn label(&self, display_name: &str, max: usize) -> String {
        let mut label = self.to_string();
        let room = max.saturating_sub(label.chars().count() + 1);
        let human: String = display_name
            .chars()
            .filter(|c| !c.is_control())
            .take(room)
            .collect();
        if !human.is_empty() {
            label.push(' ');
            label.push_str(human.trim_end());
        }
        label
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}:{}",
            self.instance, self.owner, self.generation, self.nonce
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn marker(generation: u64) -> Marker {
        Marker {
            instance: InstanceId::parse("1a2b3c4d").unwrap(),
            owner: OwnerDigits::of_uid("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0").unwrap(),
            generation: Generation(generation),
            nonce: Nonce::parse("9c8b7a6f5e4d3c2b").unwrap(),
        }
    }

    #[test]
    fn the_human_part_follows_and_is_cut() {
        let label = marker(7).label("CI deploy token für Größe", 64);
        assert_eq!(
            label,
            "1a2b3c4d:0f1e2d3c4b5a:7:9c8b7a6f5e4d3c2b CI deploy token für Grö"
        );
        assert_eq!(label.chars().count(), 64);
        assert_eq!(Marker::parse(&label), Some(marker(7)));
    }

    #[test]
    fn look_alikes_are_foreign() {
        for label in [
            "",
            "CI deploy token",
            "1a2b3c4d:0f1e2d3c4b5a:7",
            "1a2b3c4d:0f1e2d3c4b5a:7:9c8b7a6f5e4d3c2",
            "1a2b3c4d:0f1e2d3c4b5a:7:9c8b7a6f5e4d3c2b0",
            "1A2b3c4d:0f1e2d3c4b5a:7:9c8b7a6f5e4d3c2b",
            "1a2b3c4d:0f1e2d3c4b5a:+7:9c8b7a6f5e4d3c2b",
            "1a2b3c4d:0f1e2d3c4b5a::9c8b7a6f5e4d3c2b",
            "1a2b3c4d:0f1e2d3c4b5a:7:9c8b7a6f5e4d3c2b:x",
            " 1a2b3c4d:0f1e2d3c4b5a:7:9c8b7a6f5e4d3c2b",
            "1a2b3c4d:0f1e2d3c4b5a:7:9c8b7a6f5e4d3c2b\tx",
        ] {
            assert_eq!(Marker::parse(label), None, "{label:?}");
        }
    }

    proptest! {
        #[test]
        fn any_label_gives_its_marker_back(g in any::<u64>(), name in ".{0,80}", max in 59usize..200) {
            let label = marker(g).label(&name, max);
            prop_assert!(label.chars().count() <= max);
            prop_assert_eq!(Marker::parse(&label), Some(marker(g)));
        }
    }
}
