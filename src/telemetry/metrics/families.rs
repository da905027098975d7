//! Every metric there is, in one table: the code registers from it, and `docs/operations.md` is made of it.

use prometheus_client::metrics::MetricType;

/// A metric: its name, its labels, and what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyInfo {
    /// Without the suffix that its type adds.
    name: &'static str,
    /// Its type.
    pub kind: FamilyKind,
    /// The names of its labels, in the order in which they are printed.
    pub labels: &'static [&'static str],
    /// What it says, without the full stop.
    pub meaning: &'static str,
}

/// The types of metrics in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    /// Always 1; what it says is in its labels.
    Info,
    /// Only grows, and begins at zero with the process.
    Counter,
    /// What is so now.
    Gauge,
    /// How long something took, in buckets.
    Histogram,
}

impl FamilyKind {
    /// As OpenMetrics calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    pub(super) const fn metric_type(self) -> MetricType {
        match self {
            Self::Info => MetricType::Info,
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Histogram => MetricType::Histogram,
        }
    }
}

impl FamilyInfo {
    /// The name to query.
    pub fn exposed_name(&self) -> String {
        let suffix = match self.kind {
            FamilyKind::Info => "_info",
            FamilyKind::Counter => "_total",
            FamilyKind::Gauge | FamilyKind::Histogram => "",
        };
        format!("{}{suffix}", self.name)
    }

    /// The name as encoders want it, which add the suffix themselves.
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }
}

/// One line per family. The list and the constants are this.
macro_rules! families {
    ($($id:ident: $kind:ident $name:literal [$($label:literal),*] $meaning:literal;)+) => {
        $(
            pub(super) const $id: FamilyInfo = FamilyInfo {
                name: $name,
                kind: FamilyKind::$kind,
                labels: &[$($label),*],
                meaning: $meaning,
            };
        )+

        /// Every metric, in the order of the documentation.
        pub const FAMILIES: &[FamilyInfo] = &[$($id),+];
    };
}

families! {
    BUILD: Info "handover_build" ["version", "commit"]
        "The running program";
    RECONCILES: Counter "handover_reconcile" ["kind", "outcome"]
        "Passes over resources";
    RECONCILE_SECONDS: Histogram "handover_reconcile_duration_seconds" ["kind", "outcome"]
        "How long a pass took";
    EFFECTS: Counter "handover_effects" ["kind", "effect", "outcome"]
        "Effects that were carried out, or tried";
    ISSUES: Counter "handover_issues" ["kind", "cause", "outcome"]
        "Creates that were sent to a provider, by why the credential was wanted";
    REVOCATIONS: Counter "handover_revocations" ["kind", "cause", "outcome"]
        "Deletes that were sent to a provider, by why the credential had once been issued";
    CREDENTIALS: Gauge "handover_credentials" ["kind", "state"]
        "Credentials in the ledgers; abandoned are creates whose outcome is unknown";
    ISSUED: Gauge "handover_credential_issued_timestamp_seconds" ["kind", "namespace", "name"]
        "When the current credential was issued";
    EXPIRY: Gauge "handover_credential_expiry_timestamp_seconds" ["kind", "namespace", "name"]
        "When the current credential ends; absent if it has no end";
    NEXT_ROTATION: Gauge "handover_credential_next_rotation_timestamp_seconds" ["kind", "namespace", "name"]
        "When the current credential is replaced; absent if nothing is planned";
    RETIRING_SINCE: Gauge "handover_credential_retiring_since_timestamp_seconds" ["kind", "namespace", "name"]
        "Since when the credential before the current one retires; absent if there is none";
    CONDITION: Gauge "handover_resource_condition" ["kind", "namespace", "name", "type", "reason"]
        "1 if the condition is True, else 0; Ready always, others while they apply";
    CONNECTION_READY: Gauge "handover_connection_ready" ["connection"]
        "1 if the last authenticated call succeeded, else 0";
    PENDING_REVOCATIONS: Gauge "handover_pending_revocations" ["connection"]
        "Credentials that are to be deleted at the provider; outlives the connection until it is 0";
    REQUESTS: Counter "handover_provider_requests" ["connection", "provider", "operation", "outcome"]
        "Requests that were sent to a provider, or could not be";
    REQUEST_SECONDS: Histogram "handover_provider_request_duration_seconds" ["connection", "provider", "operation", "outcome"]
        "How long a request took, without the wait for its turn";
    CPU_SECONDS: Counter "process_cpu_seconds" []
        "Processor time used by the process (Linux)";
    RESIDENT_BYTES: Gauge "process_resident_memory_bytes" []
        "Resident memory of the process (Linux)";
    OPEN_FDS: Gauge "process_open_fds" []
        "Open file descriptors of the process (Linux)";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_of_one_style() {
        let names: BTreeSet<_> = FAMILIES.iter().map(FamilyInfo::exposed_name).collect();
        assert_eq!(names.len(), FAMILIES.len());
        for family in FAMILIES {
            let ours = family.name.starts_with("handover_") || family.name.starts_with("process_");
            assert!(ours, "{}", family.name);
            assert!(!family.name.ends_with("_total"), "{}", family.name);
            assert!(!family.meaning.ends_with('.'), "{}", family.name);
        }
    }
}
