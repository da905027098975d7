//! When a credential is replaced, and how long the one before it lives on.

use std::{borrow::Cow, time::Duration};

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::tz::TimeZone;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Invalid, cel, moment::Moment, span::Span};

const HOUR: Duration = Duration::from_secs(3_600);
const OVERLAP_FLOOR: Duration = Duration::from_secs(300);

/// When the credential is replaced. The replacement is created and delivered first; the one before it
/// is revoked when `overlap` is over and everything in `waitFor` holds.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.every) && has(self.schedule))").message(EVERY_OR_SCHEDULE),
    validation = Rule::new("!has(self.timeZone) || has(self.schedule)").message(ZONE_NEEDS_SCHEDULE),
    validation = Rule::new(cel::shorter("self.overlap", "self.every", Some(3_600))).message(Message::Expression(
        "'rotation.overlap (' + (has(self.overlap) ? self.overlap : '1h, the default') \
         + ') must be shorter than rotation.every (' + self.every + '): write a shorter overlap'"
            .into()
    ))
)]
pub struct Rotation {
    /// Replace the credential at this age, such as `30d`. At least `1h`; must be longer than `overlap`
    /// and shorter than `expiresAfter`. Due times of many resources are spread by up to a tenth.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(cel::at_least("self", 3_600)).message(Message::Expression(
        "'rotation.every (' + self + ') is below the floor of 1h: write 1h or more'".into()
    )))]
    pub every: Option<Span>,

    /// Instead of `every`: a cron expression of five fields (minute, hour, day of month, month, day of
    /// week), such as `"0 3 * * 1"` for Mondays at three.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 128))]
    pub schedule: Option<String>,

    /// The IANA time zone of `schedule`, such as `Europe/Berlin`. Default: `UTC`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_+/-]+$"))]
    pub time_zone: Option<String>,

    /// How long the credential before the current one stays valid at least, counted from the moment
    /// the new one is in the target Secret. Default `1h`, at least `5m`: mounted volumes need a minute
    /// or two to show a new value, and environment variables never do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(cel::at_least("self", 300)).message(Message::Expression(
        "'rotation.overlap (' + self + ') is below the floor of 5m: write 5m or more'".into()
    )))]
    pub overlap: Option<Span>,

    /// What must hold, beside `overlap`, before the credential before the current one is revoked.
    /// `Pods` (the default): every Pod that uses the target Secret was started after the new value was
    /// delivered, or mounts it as a volume that has had time to follow. `[]`: the overlap alone. While
    /// something does not hold, both credentials live and the condition `RotationBlocked` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub wait_for: Option<Vec<Gate>>,

    /// A level, not a trigger: a credential issued before this instant (RFC 3339, UTC, whole seconds)
    /// is replaced, with overlap. Applying the same instant again, reverting it or sharing it between
    /// clusters repeats nothing; an instant in the future is an appointment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_after: Option<Moment>,

    /// Whether a credential that expires is replaced in time. `Renew` (the default): after two thirds
    /// of its life. `Never`: it is left to expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BeforeExpiry")]
    pub before_expiry: Option<BeforeExpiry>,
}

/// Something that must hold before a credential is revoked.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[schemars(inline)]
pub enum Gate {
    /// Every Pod that uses the target Secret has the new value.
    Pods,
}

/// What happens before a credential expires.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[schemars(inline)]
pub enum BeforeExpiry {
    /// It is replaced in time.
    #[default]
    Renew,
    /// It expires.
    Never,
}

/// `schedule` and `timeZone`, understood.
#[derive(Debug, Clone)]
pub struct Calendar {
    /// The expression.
    pub cron: Cron,
    /// The zone its fields are meant in.
    pub zone: TimeZone,
}

const EVERY_OR_SCHEDULE: &str =
    "rotation.every and rotation.schedule exclude each other: remove one of them";
const ZONE_NEEDS_SCHEDULE: &str = "rotation.timeZone means nothing without rotation.schedule: remove it, or write a schedule instead of every";

impl Rotation {
    /// The minimum time both credentials stay valid.
    pub fn overlap(&self) -> Duration {
        self.overlap.as_ref().map_or(HOUR, Span::duration)
    }

    /// The gates beside the overlap.
    pub fn wait_for(&self) -> &[Gate] {
        self.wait_for.as_deref().unwrap_or(&[Gate::Pods])
    }

    /// What happens before expiry.
    pub fn before_expiry(&self) -> BeforeExpiry {
        self.before_expiry.unwrap_or_default()
    }

    /// The schedule, if there is one.
    pub fn calendar(&self) -> Result<Option<Calendar>, Invalid> {
        let Some(schedule) = &self.schedule else {
            return Ok(None);
        };
        let cron = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .build()
            .parse(schedule)
            .map_err(|_| {
                let message = format!(
                    "rotation.schedule ({schedule}) is no cron expression: write five fields, such as \"0 3 * * 1\""
                );
                Invalid::new("spec.rotation.schedule", message)
            })?;
        let name = self.time_zone.as_deref().unwrap_or("UTC");
        let zone = TimeZone::get(name).map_err(|_| {
            let message = format!(
                "rotation.timeZone ({name}) is no known time zone: write an IANA name, such as Europe/Berlin"
            );
            Invalid::new("spec.rotation.timeZone", message)
        })?;
        Ok(Some(Calendar { cron, zone }))
    }

    /// How `overlap` reads in a message.
    pub(super) fn overlap_text(&self) -> Cow<'_, str> {
        self.overlap
            .as_ref()
            .map_or("1h, the default".into(), |span| span.as_str().into())
    }

    /// The rules of this part, for objects the API server let through.
    pub(super) fn validate(&self) -> Result<(), Invalid> {
        if self.every.is_some() && self.schedule.is_some() {
            return Err(Invalid::new("spec.rotation", EVERY_OR_SCHEDULE));
        }
        if self.time_zone.is_some() && self.schedule.is_none() {
            return Err(Invalid::new("spec.rotation", ZONE_NEEDS_SCHEDULE));
        }
        if let Some(every) = self.every.as_ref().filter(|every| every.duration() < HOUR) {
            let message =
                format!("rotation.every ({every}) is below the floor of 1h: write 1h or more");
            return Err(Invalid::new("spec.rotation.every", message));
        }
        if self.overlap() < OVERLAP_FLOOR {
            let overlap = self.overlap_text();
            let message =
                format!("rotation.overlap ({overlap}) is below the floor of 5m: write 5m or more");
            return Err(Invalid::new("spec.rotation.overlap", message));
        }
        if let Some(every) = self
            .every
            .as_ref()
            .filter(|every| self.overlap() >= every.duration())
        {
            let overlap = self.overlap_text();
            let message = format!(
                "rotation.overlap ({overlap}) must be shorter than rotation.every ({every}): write a shorter overlap"
            );
            return Err(Invalid::new("spec.rotation", message));
        }
        self.calendar().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_has_its_documented_default() {
        let rotation = Rotation::default();
        assert_eq!(rotation.overlap(), HOUR);
        assert_eq!(rotation.wait_for(), [Gate::Pods]);
        assert_eq!(rotation.before_expiry(), BeforeExpiry::Renew);
        assert!(rotation.calendar().unwrap().is_none());
    }

    #[test]
    fn a_48_an_empty_list_of_gates_is_not_an_absent_one() {
        let rotation = Rotation {
            wait_for: Some(Vec::new()),
            ..Rotation::default()
        };
        assert!(rotation.wait_for().is_empty());
    }

    #[test]
    fn schedules_and_zones_are_understood_or_named() {
        for (schedule, zone, field) in [
            ("0 3 * * 1", None, None),
            ("30 2 * * MON-FRI", Some("Europe/Berlin"), None),
            ("0 0 3 * * 1", None, Some("spec.rotation.schedule")),
            ("every day", None, Some("spec.rotation.schedule")),
            ("61 3 * * 1", None, Some("spec.rotation.schedule")),
            (
                "0 3 * * 1",
                Some("Europe/Atlantis"),
                Some("spec.rotation.timeZone"),
            ),
        ] {
            let rotation = Rotation {
                schedule: Some(schedule.to_owned()),
                time_zone: zone.map(str::to_owned),
                ..Rotation::default()
            };
            let refused = rotation.calendar().err().map(|invalid| invalid.field);
            assert_eq!(refused, field, "{schedule} {zone:?}");
        }
    }
}
