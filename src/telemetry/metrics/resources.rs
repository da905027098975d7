//! What is true of each resource right now, told anew at every scrape.
//!
//! Nothing is kept per series. A resource that is forgotten has no series any more, a time that is not
//! known has none either, and a condition that changes its reason does not leave the old one behind.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use jiff::Timestamp;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::gauge::ConstGauge,
};

use super::{
    descriptor,
    families::{CONDITION, CREDENTIALS, EXPIRY, FamilyInfo, ISSUED, NEXT_ROTATION, RETIRING_SINCE},
    labels::{Kind, State},
};
use crate::{
    api::condition::{ConditionStatus, ConditionType, Finding, Reason},
    ledger::record::Ledger,
};

/// Which resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceId {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for what is of the cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What metrics say of one resource.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceSeries {
    /// When the current credential was issued.
    pub issued: Option<Timestamp>,
    /// When it ends.
    pub expiry: Option<Timestamp>,
    /// When it is replaced.
    pub next_rotation: Option<Timestamp>,
    /// Since when the one before retires.
    pub retiring_since: Option<Timestamp>,
    /// How many credentials are in which state.
    pub credentials: Credentials,
    /// Its conditions.
    pub conditions: Vec<ShownCondition>,
}

/// How many credentials are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Credentials([u32; State::ALL.len()]);

/// A condition, without its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownCondition {
    /// What it is about.
    pub about: ConditionType,
    /// Whether it is True.
    pub holds: bool,
    /// Why.
    pub reason: Reason,
}

impl From<&Finding> for ShownCondition {
    fn from(finding: &Finding) -> Self {
        Self {
            about: finding.about,
            holds: finding.status == ConditionStatus::True,
            reason: finding.reason,
        }
    }
}

impl From<&Ledger> for Credentials {
    fn from(ledger: &Ledger) -> Self {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let of = |state: &State| match state {
            State::Pending => u32::from(ledger.pending.is_some()),
            State::Current => u32::from(ledger.current.is_some()),
            State::Retiring => u32::from(ledger.retiring.is_some()),
            State::Deleting => count(ledger.deleting.len()),
            State::Abandoned => count(ledger.abandoned.len()),
        };
        let mut counts = Self::default();
        for (count, state) in counts.0.iter_mut().zip(State::ALL) {
            *count = of(state);
        }
        counts
    }
}

impl ResourceSeries {
    /// What a ledger says; the plan knows the next rotation, and the report the conditions.
    pub fn of(ledger: &Ledger) -> Self {
        let current = ledger.current.as_ref();
        Self {
            issued: current.map(|current| current.origin.at),
            expiry: current.and_then(|current| current.origin.expires_at),
            retiring_since: ledger.retiring.as_ref().map(|retiring| retiring.since),
            credentials: ledger.into(),
            next_rotation: None,
            conditions: Vec::new(),
        }
    }
}

type Known = BTreeMap<Arc<ResourceId>, Arc<ResourceSeries>>;
type Time = fn(&ResourceSeries) -> Option<Timestamp>;

/// All resources that have series.
#[derive(Debug)]
pub(super) struct Resources {
    per_resource: bool,
    known: RwLock<Known>,
}

impl Resources {
    pub(super) fn new(per_resource: bool) -> Self {
        Self {
            per_resource,
            known: RwLock::default(),
        }
    }

    pub(super) fn set(&self, id: ResourceId, series: ResourceSeries) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(Arc::new(id), Arc::new(series));
    }

    pub(super) fn forget(&self, id: &ResourceId) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.remove(id);
    }

    /// Taken whole, so that writing the text of thousands of series holds up nobody.
    fn snapshot(&self) -> Known {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.clone()
    }
}

impl Collector for Resources {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let known = self.snapshot();
        encode_credentials(&known, &mut encoder)?;
        if !self.per_resource {
            return Ok(());
        }
        let times: [(&FamilyInfo, Time); 4] = [
            (&ISSUED, |series| series.issued),
            (&EXPIRY, |series| series.expiry),
            (&NEXT_ROTATION, |series| series.next_rotation),
            (&RETIRING_SINCE, |series| series.retiring_since),
        ];
        for (family, time) in times {
            encode_times(family, time, &known, &mut encoder)?;
        }
        encode_conditions(&known, &mut encoder)
    }
}

fn encode_credentials(known: &Known, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut counts: BTreeMap<(Kind, State), u64> = BTreeMap::new();
    for (id, series) in known.iter().filter(|(id, _)| id.kind.has_credentials()) {
        for (state, count) in State::ALL.iter().zip(series.credentials.0) {
            *counts.entry((id.kind, *state)).or_default() += u64::from(count);
        }
    }
    if counts.is_empty() {
        return Ok(());
    }
    let mut metric = descriptor(encoder, &CREDENTIALS)?;
    for ((kind, state), count) in counts {
        let labels = [("kind", kind.as_str()), ("state", state.as_str())];
        ConstGauge::new(count).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_times(
    family: &FamilyInfo,
    time: Time,
    known: &Known,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let mut times = known
        .iter()
        .filter_map(|(id, series)| Some((id, time(series)?)))
        .peekable();
    if times.peek().is_none() {
        return Ok(());
    }
    let mut metric = descriptor(encoder, family)?;
    for (id, time) in times {
        ConstGauge::new(time.as_second()).encode(metric.encode_family(&id.labels())?)?;
    }
    Ok(())
}

fn encode_conditions(known: &Known, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut conditions = known
        .iter()
        .flat_map(|(id, series)| series.conditions.iter().map(move |shown| (id, shown)))
        .peekable();
    if conditions.peek().is_none() {
        return Ok(());
    }
    let mut metric = descriptor(encoder, &CONDITION)?;
    for (id, shown) in conditions {
        let [kind, namespace, name] = id.labels();
        let about = ("type", shown.about.as_str());
        let labels = [
            kind,
            namespace,
            name,
            about,
            ("reason", shown.reason.as_str()),
        ];
        ConstGauge::new(i64::from(shown.holds)).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

impl ResourceId {
    fn labels(&self) -> [(&'static str, &str); 3] {
        [
            ("kind", self.kind.as_str()),
            ("namespace", &self.namespace),
            ("name", &self.name),
        ]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn entry(g: u64, more: &Value) -> Value {
        let mut entry = json!({
            "g": g,
            "id": format!("mt_{g}"),
            "place": {"connection": "Connection/acme", "uid": "c", "endpoint": "https://x", "organization": "o"},
            "at": format!("2026-01-0{g}T00:00:00Z"),
            "expiresAt": "2026-04-01T00:00:00Z",
            "cause": "Scheduled",
            "specHash": "h",
        });
        json_patch::merge(&mut entry, more);
        entry
    }

    #[test]
    fn a_ledger_says_when_and_how_many() {
        let since = "2026-01-03T00:00:00Z";
        let ledger: Ledger = serde_json::from_value(json!({
            "format": 1,
            "owner": {"kind": "MachineToken", "namespace": "web", "name": "ci", "uid": "u"},
            "target": "ci",
            "attempt": 3,
            "epoch": 2,
            "current": entry(3, &json!({"promotedAt": since, "proof": "Probed"})),
            "retiring": entry(2, &json!({"since": since})),
            "deleting": [entry(1, &json!({"since": since}))],
        }))
        .unwrap();
        let series = ResourceSeries::of(&ledger);
        let time = |text: &str| Some(text.parse().unwrap());
        assert_eq!(series.issued, time(since));
        assert_eq!(series.expiry, time("2026-04-01T00:00:00Z"));
        assert_eq!(series.retiring_since, time(since));
        assert_eq!(series.credentials, Credentials([0, 1, 1, 1, 0]));
    }
}
