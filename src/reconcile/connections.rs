//! The connections that were checked: who may be asked to issue and to revoke, and where.

use std::{
    collections::HashMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    api::{
        access::AccessRule,
        condition::Reason,
        connection::{ClusterConnection, Connection, ConnectionSettings, SecretRef},
        machine_token::ConnectionKind,
    },
    clock::Clock,
    ledger::record::Place,
    moment::after,
    plan::Obstacle,
    provider::{
        admin::AdminToken,
        budget::Budget,
        call::Line,
        endpoint::{Endpoint, HostRules, Origin},
        errova::Errova,
    },
    telemetry::metrics::{Metrics, Provider},
    transport::Transport,
};

/// Opens the wire to a checked endpoint, with the time that one exchange may take.
pub type Dial =
    Arc<dyn Fn(&Endpoint, Duration) -> Result<Arc<dyn Transport>, Obstacle> + Send + Sync>;

/// A connection of either kind, as the rest of the program needs it.
#[derive(Clone, Debug)]
pub struct Described {
    /// `Connection` or `ClusterConnection`.
    pub kind: ConnectionKind,
    /// Its namespace, if it has one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// What both kinds have.
    pub settings: ConnectionSettings,
    /// Its access rules.
    pub access: Vec<AccessRule>,
}

/// Which connection: kind, namespace (empty for the cluster's), name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionKey {
    kind: ConnectionKind,
    namespace: String,
    name: String,
}

/// A connection after its last check.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Where it issues.
    pub place: Place,
    /// Speaks to the provider, if everything for that is there.
    pub provider: Option<Errova>,
    /// Why it cannot be used.
    pub obstacle: Option<Obstacle>,
    /// Changes with the connection's spec and its auth value.
    pub version: String,
    /// The longest that one exchange may take.
    pub timeout: Duration,
}

/// What one connection may ask of its provider.
#[derive(Clone)]
struct Allowance {
    per_minute: u32,
    in_flight: u32,
    budget: Arc<Budget>,
    /// One for each create that may be armed at once.
    turns: Arc<Semaphore>,
}

/// All of them.
pub struct Connections {
    dial: Dial,
    rules: HostRules,
    clock: Clock,
    metrics: Metrics,
    checked: Mutex<HashMap<ConnectionKey, Checked>>,
    budgets: Mutex<HashMap<ConnectionKey, Allowance>>,
    broken: Mutex<HashMap<ConnectionKey, String>>,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connections")
    }
}

impl From<&ClusterConnection> for Described {
    fn from(connection: &ClusterConnection) -> Self {
        Self {
            kind: ConnectionKind::ClusterConnection,
            namespace: None,
            name: connection.name_any(),
            uid: connection.uid().unwrap_or_default(),
            generation: connection.metadata.generation.unwrap_or_default(),
            settings: connection.spec.settings.clone(),
            access: connection.spec.access.clone().unwrap_or_default(),
        }
    }
}

impl From<&Connection> for Described {
    fn from(connection: &Connection) -> Self {
        Self {
            kind: ConnectionKind::Connection,
            namespace: connection.namespace(),
            name: connection.name_any(),
            uid: connection.uid().unwrap_or_default(),
            generation: connection.metadata.generation.unwrap_or_default(),
            settings: connection.spec.settings.clone(),
            access: connection.spec.access.clone().unwrap_or_default(),
        }
    }
}

impl Described {
    /// Which connection.
    pub fn key(&self) -> ConnectionKey {
        ConnectionKey::new(
            self.kind,
            self.namespace.as_deref().unwrap_or_default(),
            &self.name,
        )
    }

    /// Where it issues: what a ledger remembers.
    pub fn place(&self) -> Place {
        let organization = self
            .settings
            .errova()
            .map(|errova| errova.organization.clone());
        Place {
            connection: self.key().to_string(),
            uid: self.uid.clone(),
            endpoint: self.settings.url().to_owned(),
            organization: organization.unwrap_or_default(),
        }
    }

    /// The key of the Secret that holds its admin credential.
    pub fn auth(&self) -> Result<&SecretRef, Obstacle> {
        let secret = self.settings.errova().and_then(|errova| errova.bearer());
        secret.map_err(|invalid| Obstacle::new(Reason::SpecInvalid, invalid.message))
    }

    /// `namespace/name`, or `name` for one of the cluster: what metrics call it.
    pub fn full_name(&self) -> String {
        let namespace = self.namespace.iter();
        namespace
            .chain([&self.name])
            .cloned()
            .collect::<Vec<_>>()
            .join("/")
    }

    /// Who wrote its url.
    pub const fn origin(&self) -> Origin {
        match self.kind {
            ConnectionKind::ClusterConnection => Origin::ClusterConnection,
            ConnectionKind::Connection => Origin::Connection,
        }
    }
}

impl ConnectionKey {
    /// The connection of that kind and name, as seen from `namespace`.
    pub fn new(kind: ConnectionKind, namespace: &str, name: &str) -> Self {
        let namespace = match kind {
            ConnectionKind::ClusterConnection => String::new(),
            ConnectionKind::Connection => namespace.to_owned(),
        };
        Self {
            kind,
            namespace,
            name: name.to_owned(),
        }
    }

    /// Its kind.
    pub const fn kind(&self) -> ConnectionKind {
        self.kind
    }

    /// Its namespace; empty for one of the cluster.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The connection that a place names, for a resource in `namespace`.
    pub fn of(place: &Place, namespace: &str) -> Option<Self> {
        let (kind, name) = place.connection.split_once('/')?;
        let kinds = [
            ConnectionKind::ClusterConnection,
            ConnectionKind::Connection,
        ];
        let kind = kinds.into_iter().find(|known| known.as_str() == kind)?;
        Some(Self::new(kind, namespace, name))
    }
}

impl std::fmt::Display for ConnectionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.name)
    }
}

impl Connections {
    /// None yet.
    pub fn new(dial: Dial, rules: HostRules, clock: Clock, metrics: Metrics) -> Self {
        Self {
            dial,
            rules,
            clock,
            metrics,
            checked: Mutex::default(),
            budgets: Mutex::default(),
            broken: Mutex::default(),
        }
    }

    /// The last check of a connection.
    pub fn get(&self, key: &ConnectionKey) -> Option<Checked> {
        let mut checked = lock(&self.checked).get(key).cloned()?;
        let broken = lock(&self.broken);
        if broken
            .get(key)
            .is_some_and(|version| *version == checked.version)
        {
            checked.obstacle = checked.obstacle.or_else(|| Some(breaker()));
        }
        Some(checked)
    }

    /// Who can act on what was issued at `place`, for a resource in `namespace`.
    ///
    /// The admin credential goes only to the very endpoint that the connection names today.
    pub fn at(&self, place: &Place, namespace: &str) -> Result<Errova, Obstacle> {
        let name = &place.connection;
        let missing =
            |what: &str| Obstacle::new(Reason::ReferenceMissing, format!("{name} {what}"));
        let key = ConnectionKey::of(place, namespace).ok_or_else(|| missing("is unknown"))?;
        let checked = lock(&self.checked).get(&key).cloned();
        let checked = checked.ok_or_else(|| {
            missing("does not exist; make it again with the same url, organization and a valid credential")
        })?;
        let here = &checked.place;
        if (&here.endpoint, &here.organization) != (&place.endpoint, &place.organization) {
            return Err(missing(&format!(
                "points elsewhere now; credentials issued at {} in {} need it as it was, or revoke them there by hand",
                place.endpoint, place.organization
            )));
        }
        checked.provider.ok_or_else(|| {
            checked
                .obstacle
                .unwrap_or_else(|| missing("has no credential"))
        })
    }

    /// The longest that one exchange with the provider of `place` may take.
    pub fn timeout(&self, place: &Place, namespace: &str) -> Duration {
        let key = ConnectionKey::of(place, namespace);
        let checked = key.and_then(|key| lock(&self.checked).get(&key).map(|c| c.timeout));
        checked.unwrap_or(Duration::from_secs(30))
    }

    /// Waits for a turn to create something: an intent that is armed should be sent at once, not queue
    /// for the budget behind others. First come, first served.
    pub async fn turn(&self, place: &Place, namespace: &str) -> Option<OwnedSemaphorePermit> {
        let key = ConnectionKey::of(place, namespace)?;
        let turns = lock(&self.budgets)
            .get(&key)
            .map(|allowance| allowance.turns.clone())?;
        turns.acquire_owned().await.ok()
    }

    /// When the provider's own pause of a connection ends, if it asked for one.
    pub fn paused_until(&self, key: &ConnectionKey) -> Option<Timestamp> {
        let budget = lock(&self.budgets)
            .get(key)
            .map(|allowance| allowance.budget.clone())?;
        let left = budget
            .paused_until()?
            .saturating_duration_since(Instant::now());
        Some(after(
            self.clock.now(),
            SignedDuration::try_from(left).ok()?,
        ))
    }

    /// Takes in a check.
    pub fn record(&self, key: ConnectionKey, checked: Checked) {
        lock(&self.checked).insert(key, checked);
    }

    /// The connection is gone.
    pub fn forget(&self, key: &ConnectionKey) {
        lock(&self.checked).remove(key);
        lock(&self.budgets).remove(key);
        lock(&self.broken).remove(key);
    }

    /// An answer that cannot be read: no more creates until the connection or its credential changes.
    pub fn trip(&self, place: &Place, namespace: &str) {
        let Some(key) = ConnectionKey::of(place, namespace) else {
            return;
        };
        let version = lock(&self.checked)
            .get(&key)
            .map(|checked| checked.version.clone());
        if let Some(version) = version {
            lock(&self.broken).insert(key, version);
        }
    }

    /// Builds the provider of a connection with this admin credential.
    pub fn build(&self, described: &Described, admin: AdminToken) -> Result<Errova, Obstacle> {
        let settings = &described.settings;
        let invalid = |text: String| Obstacle::new(Reason::SpecInvalid, text);
        let endpoint = Endpoint::parse(settings.url(), &self.rules, described.origin())
            .map_err(|error| invalid(format!("spec.url: {error}")))?;
        let errova = settings.errova().map_err(|error| invalid(error.message))?;
        let transport = (self.dial)(&endpoint, settings.timeout())?;
        let name = described.full_name();
        let tally = self.metrics.requests_of(&name, Provider::Errova);
        let line = Line::new(transport, self.budget(described)).observed_by(tally);
        Errova::new(endpoint, &errova.organization, admin, line)
            .map_err(|error| invalid(format!("spec.provider.errova.organization: {error}")))
    }

    /// One budget per connection, whatever else of it changes.
    fn budget(&self, described: &Described) -> Arc<Budget> {
        let per_minute = described.settings.per_minute();
        let in_flight = described.settings.in_flight();
        let mut budgets = lock(&self.budgets);
        let known = budgets.get(&described.key());
        if let Some(known) =
            known.filter(|a| (a.per_minute, a.in_flight) == (per_minute, in_flight))
        {
            return known.budget.clone();
        }
        let whole = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let budget = Budget::new(whole(per_minute), whole(in_flight), self.clock.clone());
        let allowance = Allowance {
            per_minute,
            in_flight,
            budget: Arc::new(budget),
            turns: Arc::new(Semaphore::new(whole(in_flight).get() as usize)),
        };
        budgets.insert(described.key(), allowance.clone());
        allowance.budget
    }
}

fn breaker() -> Obstacle {
    let message = "the provider answered a create with success, but without a readable id and value; nothing more \
                   is created on this connection until its spec or its credential changes";
    Obstacle::new(Reason::BreakerOpen, message)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
