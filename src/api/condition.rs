//! Conditions: observations for people and tools, never read back by Handover.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::{Schema, SchemaGenerator, json_schema};

pub use super::reason::{About, Actor, Reason};

/// The longest message, in characters.
const MESSAGE_MAX: usize = 512;

/// What a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConditionType {
    /// Always present. A token: the target, read back, holds a verified, unrevoked credential of this
    /// generation. A connection: an authenticated call succeeded.
    Ready,
    /// This generation is not realised yet, or the target is not valid, and work is going on or waits
    /// for a known time. Absent when not so.
    Reconciling,
    /// Nothing changes until someone acts; the reason tells who. Absent when not so.
    Stalled,
    /// The overlap is over and a gate does not hold; `Ready` stays True. Absent when not so.
    RotationBlocked,
    /// The fate of a create is unknown and cannot be found out. Absent when not so.
    AmbiguousCreate,
}

impl ConditionType {
    /// Every type that is written.
    pub const ALL: [Self; 5] = [
        Self::Ready,
        Self::Reconciling,
        Self::Stalled,
        Self::RotationBlocked,
        Self::AmbiguousCreate,
    ];

    /// The name, as conditions carry it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::RotationBlocked => "RotationBlocked",
            Self::AmbiguousCreate => "AmbiguousCreate",
        }
    }
}

/// The status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It cannot be told.
    Unknown,
}

impl ConditionStatus {
    /// The name, as conditions carry it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// What is to be said about one condition type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub about: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Why.
    pub reason: Reason,
    /// For people; cut at 512 characters.
    pub message: String,
    /// The `metadata.generation` that was looked at.
    pub generation: Option<i64>,
}

/// Puts a finding among the conditions. `lastTransitionTime` moves only if the status does.
pub fn set(conditions: &mut Vec<Condition>, finding: Finding, now: Timestamp) {
    let mut message = finding.message;
    if let Some((cut, _)) = message.char_indices().nth(MESSAGE_MAX) {
        message.truncate(cut);
    }
    let mut next = Condition {
        type_: finding.about.as_str().to_owned(),
        status: finding.status.as_str().to_owned(),
        reason: finding.reason.as_str().to_owned(),
        message,
        observed_generation: finding.generation,
        last_transition_time: Time(now),
    };
    match conditions.iter_mut().find(|c| c.type_ == next.type_) {
        Some(known) => {
            if known.status == next.status {
                next.last_transition_time = known.last_transition_time.clone();
            }
            *known = next;
        }
        None => conditions.push(next),
    }
}

/// Takes a condition away: abnormal ones are absent when all is well.
pub fn clear(conditions: &mut Vec<Condition>, about: ConditionType) {
    conditions.retain(|c| c.type_ != about.as_str());
}

/// The schema of `conditions`: a list map keyed by `type`, every part bounded.
pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {
                    "description": "What it is about.",
                    "type": "string",
                    "maxLength": 64,
                },
                "status": {
                    "description": "Whether it holds.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                },
                "reason": {
                    "description": "Why, as one word of a documented list.",
                    "type": "string",
                    "maxLength": 64,
                },
                "message": {
                    "description": "Why, for people.",
                    "type": "string",
                    "maxLength": MESSAGE_MAX,
                },
                "observedGeneration": {
                    "description": "The metadata.generation this was found for.",
                    "type": "integer",
                    "format": "int64",
                },
                "lastTransitionTime": {
                    "description": "When the status of this condition last changed.",
                    "type": "string",
                    "format": "date-time",
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn ready(status: ConditionStatus, reason: Reason) -> Finding {
        Finding {
            about: ConditionType::Ready,
            status,
            reason,
            message: "as seen".to_owned(),
            generation: Some(1),
        }
    }

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let mut conditions = Vec::new();
        set(
            &mut conditions,
            ready(ConditionStatus::True, Reason::Delivered),
            at(1),
        );
        set(
            &mut conditions,
            ready(ConditionStatus::True, Reason::Overlap),
            at(2),
        );
        assert_eq!(conditions.len(), 1);
        assert_eq!(conditions[0].reason, "Overlap");
        assert_eq!(conditions[0].last_transition_time, Time(at(1)));

        set(
            &mut conditions,
            ready(ConditionStatus::False, Reason::TargetDamaged),
            at(3),
        );
        assert_eq!(conditions[0].last_transition_time, Time(at(3)));
    }

    #[test]
    fn a_cleared_condition_is_absent_and_the_others_stay() {
        let mut conditions = Vec::new();
        set(
            &mut conditions,
            ready(ConditionStatus::True, Reason::Delivered),
            at(1),
        );
        let blocked = Finding {
            about: ConditionType::RotationBlocked,
            ..ready(ConditionStatus::True, Reason::RotationBlocked)
        };
        set(&mut conditions, blocked, at(1));
        clear(&mut conditions, ConditionType::RotationBlocked);
        assert_eq!(conditions.len(), 1);
        assert_eq!(conditions[0].type_, "Ready");
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let mut conditions = Vec::new();
        let long = Finding {
            message: "ö".repeat(600),
            ..ready(ConditionStatus::True, Reason::Delivered)
        };
        set(&mut conditions, long, at(1));
        assert_eq!(conditions[0].message.chars().count(), 512);
    }
}
