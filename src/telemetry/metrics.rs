//! Metrics in the OpenMetrics text format, from a registry of our own: there is no global one.
//!
//! # Guarantees
//! - Every name is in [`FAMILIES`], every label value in a closed enum or the name of an object.
//! - Series vanish with their object, and what is not known has no series.
//! - Nothing waits: a method changes a number or a map, and a scrape works on copies.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::{DescriptorEncoder, MetricEncoder, text},
    metrics::{counter::Counter, family::Family, histogram::Histogram, info::Info},
    registry::{Metric, Registry},
};

use self::{
    connections::Connections,
    families::{BUILD, EFFECTS, ISSUES, RECONCILE_SECONDS, RECONCILES, REVOCATIONS},
    labels::{BuildLabels, EffectLabels, IssueLabels, PassLabels, RevocationLabels},
    process::Process,
    resources::Resources,
};
pub use self::{
    connections::RequestTally,
    families::{FAMILIES, FamilyInfo, FamilyKind},
    labels::{
        EffectName, EffectOutcome, IssueOutcome, Kind, PassOutcome, Provider, RevocationOutcome,
        State,
    },
    resources::{Credentials, ResourceId, ResourceSeries, ShownCondition},
};
use crate::api::status::Cause;

mod connections;
mod families;
mod labels;
mod process;
mod resources;

/// The media type of what [`Metrics::encode`] writes.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const PASS_BUCKETS: [f64; 12] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
];

/// All numbers of this process. Cheap to clone.
#[derive(Clone)]
pub struct Metrics(Arc<Numbers>);

struct Numbers {
    registry: Registry,
    passes: Family<PassLabels, Counter>,
    pass_seconds: Family<PassLabels, Histogram, fn() -> Histogram>,
    effects: Family<EffectLabels, Counter>,
    issues: Family<IssueLabels, Counter>,
    revocations: Family<RevocationLabels, Counter>,
    resources: Arc<Resources>,
    connections: Arc<Connections>,
}

impl Metrics {
    /// `per_resource`: whether there are series for each resource, or counts alone.
    pub fn new(per_resource: bool) -> Self {
        let mut numbers = Numbers {
            registry: Registry::default(),
            passes: Family::default(),
            pass_seconds: Family::new_with_constructor(|| Histogram::new(PASS_BUCKETS)),
            effects: Family::default(),
            issues: Family::default(),
            revocations: Family::default(),
            resources: Arc::new(Resources::new(per_resource)),
            connections: Arc::default(),
        };
        numbers.register();
        Self(Arc::new(numbers))
    }

    /// A pass over a resource has ended.
    pub fn reconciled(&self, kind: Kind, outcome: PassOutcome, took: Duration) {
        let labels = PassLabels { kind, outcome };
        self.0.passes.get_or_create(&labels).inc();
        let seconds = self.0.pass_seconds.get_or_create(&labels);
        seconds.observe(took.as_secs_f64());
    }

    /// An effect was carried out, or tried.
    pub fn effect(&self, kind: Kind, effect: EffectName, outcome: EffectOutcome) {
        let labels = EffectLabels {
            kind,
            effect: effect.as_str(),
            outcome,
        };
        self.0.effects.get_or_create(&labels).inc();
    }

    /// A create was answered, or not.
    pub fn issued(&self, kind: Kind, cause: Cause, outcome: IssueOutcome) {
        let cause = cause.as_str();
        let labels = IssueLabels {
            kind,
            cause,
            outcome,
        };
        self.0.issues.get_or_create(&labels).inc();
    }

    /// A delete was answered, or not. `cause` is why the credential had been issued.
    pub fn revoked(&self, kind: Kind, cause: Cause, outcome: RevocationOutcome) {
        let cause = cause.as_str();
        let labels = RevocationLabels {
            kind,
            cause,
            outcome,
        };
        self.0.revocations.get_or_create(&labels).inc();
    }

    /// What is true of a resource now, instead of what was before.
    pub fn resource(&self, id: ResourceId, series: ResourceSeries) {
        self.0.resources.set(id, series);
    }

    /// A resource is gone.
    pub fn forget(&self, id: &ResourceId) {
        self.0.resources.forget(id);
    }

    /// Whether the admin credential of a connection works. Connections are called `namespace/name`, or
    /// `name` where they are of the cluster.
    pub fn connection_ready(&self, connection: &str, ready: bool) {
        self.0.connections.ready(connection, ready);
    }

    /// How many credentials of a connection are to be deleted at the provider.
    pub fn pending_revocations(&self, connection: &str, pending: u64) {
        self.0.connections.pending_revocations(connection, pending);
    }

    /// Who counts the requests of a connection: an observer for its line.
    pub fn requests_of(&self, connection: &str, provider: Provider) -> Arc<RequestTally> {
        self.0.connections.requests(connection, provider)
    }

    /// A connection is gone. Its pending revocations stay visible until there are none.
    pub fn forget_connection(&self, connection: &str) {
        self.0.connections.forget(connection);
    }

    /// Everything, as text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry)?;
        Ok(text)
    }
}

impl Numbers {
    fn register(&mut self) {
        let build = Info::new(BuildLabels {
            version: env!("CARGO_PKG_VERSION"),
            commit: option_env!("HANDOVER_COMMIT").unwrap_or("unknown"),
        });
        let registry = &mut self.registry;
        add(registry, &BUILD, build);
        add(registry, &RECONCILES, self.passes.clone());
        add(registry, &RECONCILE_SECONDS, self.pass_seconds.clone());
        add(registry, &EFFECTS, self.effects.clone());
        add(registry, &ISSUES, self.issues.clone());
        add(registry, &REVOCATIONS, self.revocations.clone());
        registry.register_collector(Box::new(self.resources.clone()));
        registry.register_collector(Box::new(self.connections.clone()));
        registry.register_collector(Box::new(Process));
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// The registry puts a full stop behind the meaning.
fn add(registry: &mut Registry, family: &FamilyInfo, metric: impl Metric) {
    registry.register(family.name(), family.meaning, metric);
}

fn descriptor<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    family: &FamilyInfo,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    let help = format!("{}.", family.meaning);
    encoder.encode_descriptor(family.name(), &help, None, family.kind.metric_type())
}

#[cfg(test)]
mod tests;
