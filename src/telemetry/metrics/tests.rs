//! What a scrape shows.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::*;
use crate::{
    api::condition::{ConditionType, Reason},
    provider::call::{Answered, Observe as _, Operation},
};

/// The samples of a scrape: name and labels, and the value.
fn samples(metrics: &Metrics) -> BTreeMap<String, String> {
    let text = metrics.encode().unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.to_owned())
        })
        .collect()
}

fn value(metrics: &Metrics, series: &str) -> Option<String> {
    samples(metrics).remove(series)
}

fn token(name: &str) -> ResourceId {
    ResourceId {
        kind: Kind::MachineToken,
        namespace: "web".to_owned(),
        name: name.to_owned(),
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn condition(about: ConditionType, holds: bool, reason: Reason) -> ShownCondition {
    ShownCondition {
        about,
        holds,
        reason,
    }
}

/// Everything that can have a series has one.
fn busy() -> Metrics {
    let metrics = Metrics::new(true);
    let second = Duration::from_secs(1);
    let kind = Kind::MachineToken;
    metrics.reconciled(kind, PassOutcome::Settled, second);
    let effect = EffectName::from(&crate::plan::Effect::Deliver);
    metrics.effect(kind, effect, EffectOutcome::Done);
    metrics.issued(kind, Cause::Scheduled, IssueOutcome::Issued);
    metrics.revoked(kind, Cause::Created, RevocationOutcome::Gone);
    metrics.resource(
        token("ci"),
        ResourceSeries {
            issued: Some(at(10)),
            expiry: Some(at(20)),
            next_rotation: Some(at(15)),
            retiring_since: Some(at(12)),
            conditions: vec![condition(ConditionType::Ready, true, Reason::Overlap)],
            ..ResourceSeries::default()
        },
    );
    metrics.connection_ready("web/acme", true);
    metrics.pending_revocations("web/acme", 2);
    let requests = metrics.requests_of("web/acme", Provider::Errova);
    requests.observe(Operation::MachineTokenCreate, Answered::Ok, second);
    metrics
}

#[test]
fn every_series_is_in_the_table_and_every_line_of_the_table_is_fed() {
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for series in samples(&busy()).into_keys() {
        let (name, labels) = series.split_once('{').unwrap_or((&series, ""));
        let histogram = ["_bucket", "_sum", "_count"];
        let name = histogram
            .into_iter()
            .find_map(|suffix| name.strip_suffix(suffix))
            .unwrap_or(name);
        let labels = labels
            .trim_end_matches('}')
            .split(',')
            .filter_map(|label| label.split_once('=').map(|(label, _)| label.to_owned()))
            .filter(|label| label != "le");
        seen.entry(name.to_owned()).or_default().extend(labels);
    }
    let on_linux = cfg!(target_os = "linux");
    let expected: BTreeMap<String, BTreeSet<String>> = FAMILIES
        .iter()
        .filter(|family| on_linux || !family.exposed_name().starts_with("process_"))
        .map(|family| {
            let labels = family.labels.iter().copied().map(str::to_owned).collect();
            (family.exposed_name(), labels)
        })
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn the_text_says_type_and_meaning_of_each_family_once() {
    let text = busy().encode().unwrap();
    for family in FAMILIES {
        let name = family.name();
        let header = format!("# HELP {name} {}.\n# TYPE {name} ", family.meaning);
        if !name.starts_with("process_") || cfg!(target_os = "linux") {
            assert_eq!(text.matches(&header).count(), 1, "{header}");
        }
    }
}

#[test]
fn a_88_times_and_conditions_of_a_credential_are_gauges() {
    let metrics = busy();
    let of_ci = r#"{kind="MachineToken",namespace="web",name="ci"}"#;
    for (what, expected) in [
        ("issued", "10"),
        ("expiry", "20"),
        ("next_rotation", "15"),
        ("retiring_since", "12"),
    ] {
        let series = format!("handover_credential_{what}_timestamp_seconds{of_ci}");
        assert_eq!(
            value(&metrics, &series).as_deref(),
            Some(expected),
            "{what}"
        );
    }
    let ready = r#"handover_resource_condition{kind="MachineToken",namespace="web",name="ci",type="Ready",reason="Overlap"}"#;
    assert_eq!(value(&metrics, ready).as_deref(), Some("1"));
}

#[test]
fn a_88_a_time_that_is_not_known_has_no_series() {
    let metrics = Metrics::new(true);
    metrics.resource(
        token("ci"),
        ResourceSeries {
            issued: Some(at(10)),
            ..ResourceSeries::default()
        },
    );
    let text = metrics.encode().unwrap();
    assert!(text.contains("handover_credential_issued_timestamp_seconds{"));
    assert!(
        !text.contains("expiry") && !text.contains("retiring_since"),
        "{text}"
    );
}

#[test]
fn a_condition_with_another_reason_replaces_the_one_before() {
    let metrics = Metrics::new(true);
    for reason in [Reason::TargetDamaged, Reason::TargetForeign] {
        let conditions = vec![condition(ConditionType::Ready, false, reason)];
        metrics.resource(
            token("ci"),
            ResourceSeries {
                conditions,
                ..ResourceSeries::default()
            },
        );
    }
    let conditions: Vec<_> = samples(&metrics)
        .into_iter()
        .filter(|(series, _)| series.starts_with("handover_resource_condition"))
        .collect();
    assert_eq!(conditions.len(), 1);
    assert!(conditions[0].0.contains("TargetForeign"));
    assert_eq!(conditions[0].1, "0");
}

#[test]
fn a_89_a_resource_that_is_gone_leaves_no_series() {
    let metrics = busy();
    assert!(metrics.encode().unwrap().contains(r#"name="ci""#));
    metrics.forget(&token("ci"));
    let text = metrics.encode().unwrap();
    assert!(!text.contains(r#"name="ci""#), "{text}");
    assert!(!text.contains("handover_credentials"), "{text}");
}

#[test]
fn a_89_of_a_connection_that_is_gone_only_pending_revocations_stay() {
    let metrics = busy();
    let late = metrics.requests_of("web/acme", Provider::Errova);
    metrics.forget_connection("web/acme");
    late.observe(Operation::AuthCheck, Answered::Ok, Duration::ZERO);
    let left: Vec<_> = samples(&metrics)
        .into_iter()
        .filter(|(series, _)| series.contains("web/acme"))
        .collect();
    let pending = r#"handover_pending_revocations{connection="web/acme"}"#;
    assert_eq!(left, [(pending.to_owned(), "2".to_owned())]);
    metrics.pending_revocations("web/acme", 0);
    assert!(!metrics.encode().unwrap().contains("web/acme"));
}

#[test]
fn requests_go_on_being_counted_when_a_connection_is_set_up_anew() {
    let metrics = Metrics::new(true);
    for _ in 0..2 {
        let requests = metrics.requests_of("acme", Provider::Errova);
        requests.observe(Operation::AuthCheck, Answered::Throttled, Duration::ZERO);
    }
    let series = r#"handover_provider_requests_total{connection="acme",provider="errova",operation="auth.check",outcome="throttled"}"#;
    assert_eq!(value(&metrics, series).as_deref(), Some("2"));
}

#[test]
fn without_series_per_resource_there_are_still_counts() {
    let metrics = Metrics::new(false);
    metrics.resource(
        token("ci"),
        ResourceSeries {
            issued: Some(at(10)),
            conditions: vec![condition(ConditionType::Ready, true, Reason::Delivered)],
            ..ResourceSeries::default()
        },
    );
    let text = metrics.encode().unwrap();
    assert!(!text.contains(r#"name="ci""#), "{text}");
    let current = r#"handover_credentials{kind="MachineToken",state="current"}"#;
    assert_eq!(value(&metrics, current).as_deref(), Some("0"));
}
