//! What must hold after every request, whatever broke: the invariants of the protocol, and the log of
//! both sides in one.
//!
//! It sees everything (Kubernetes, the truth of the provider, each call) and is asked by nobody. One
//! oracle watches one token.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use handover::{
    api::{annotations, machine_token::MachineToken},
    ledger::record::Ledger,
    simulator::{Digest, Operation, Simulator},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::ResourceExt as _;

use super::{
    apiserver::{ApiServer, Phase, RequestInfo, Verb},
    wire::{Call, Crossing},
    world::{TENANT, World},
};

/// What one scenario allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How long a consumer may go on with what it loaded before. Shorter than the overlap.
    pub(crate) lag: SignedDuration,
    /// The overlap of the spec.
    pub(crate) overlap: SignedDuration,
    /// Creates within the scenario.
    pub(crate) creates: usize,
    /// Credentials that a proxy made by sending a create twice.
    pub(crate) duplicates: usize,
}

impl Bounds {
    /// An overlap of five minutes, consumers that are up to four behind, and one day's fruitless creates.
    pub(crate) const fn usual() -> Self {
        Self {
            lag: SignedDuration::from_mins(4),
            overlap: SignedDuration::from_mins(5),
            creates: 6,
            duplicates: 0,
        }
    }
}

/// Watches one token.
#[derive(Clone)]
pub(crate) struct Oracle(Arc<Inner>);

struct Inner {
    api: ApiServer,
    errova: Simulator,
    token: String,
    bounds: Bounds,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    lines: Vec<String>,
    violations: Vec<String>,
    /// Values that were in the target, and since when and until when.
    loaded: Vec<Loaded>,
    /// Creates by their nonce.
    sent: BTreeMap<String, usize>,
    /// Ids whose deletion has begun.
    judged: BTreeSet<String>,
    /// Ids that were current once.
    used: BTreeSet<String>,
    /// Ids that were in the absorbing state once.
    doomed: BTreeSet<String>,
    attempt: u64,
    epoch: u64,
}

struct Loaded {
    value: String,
    since: Timestamp,
    until: Option<Timestamp>,
}

/// A ledger Secret as it lies there.
struct Stored {
    ledger: Ledger,
    data: BTreeMap<String, ByteString>,
}

impl Stored {
    fn value(&self, generation: u64) -> Option<String> {
        let bytes = self.data.get(&format!("v.{generation}"))?;
        String::from_utf8(bytes.0.clone()).ok()
    }
}

impl Oracle {
    /// Begins to watch: from now on every request and every call is checked.
    pub(crate) fn watch(world: &World, token: &str, bounds: Bounds) -> Self {
        let oracle = Self(Arc::new(Inner {
            api: world.api.clone(),
            errova: world.errova.clone(),
            token: token.to_owned(),
            bounds,
            seen: Mutex::default(),
        }));
        let (by_request, by_call) = (oracle.clone(), oracle.clone());
        world.api.check_always(move |_, request| {
            by_request.after_request(request);
            Ok(())
        });
        world.on_call(move |call, phase| {
            by_call.around_call(call, phase);
            Crossing::Pass
        });
        oracle
    }

    /// Nothing that must hold was broken so far.
    pub(crate) fn assert_kept(&self, scenario: &str) {
        let seen = self.seen();
        let (broken, log) = (seen.violations.join("\n"), seen.lines.join("\n"));
        assert!(broken.is_empty(), "{scenario}:\n{broken}\n{log}");
    }

    /// Writes of both sides, and calls to the provider, in their order.
    pub(crate) fn story(&self) -> String {
        self.seen().lines.join("\n")
    }

    fn after_request(&self, request: &RequestInfo) {
        if matches!(request.verb, Verb::List | Verb::Watch) {
            return;
        }
        self.seen().lines.push(format!("  {request}"));
        self.check();
    }

    fn around_call(&self, call: &Call, phase: Phase) {
        let now = self.0.api.clock().now();
        let line = format!(
            "  {now} {} errova {phase:?} {} {}",
            call.client, call.method, call.path
        );
        self.seen().lines.push(line);
        if phase == Phase::Before {
            self.before_call(call, now);
        }
        self.check();
    }

    fn before_call(&self, call: &Call, now: Timestamp) {
        if let Some(nonce) = &call.nonce {
            if !self.is_armed(nonce) {
                self.seen()
                    .report(format!("the create {nonce} goes out before it is recorded"));
            }
            let mut seen = self.seen();
            let times = seen.sent.entry(nonce.clone()).or_default();
            *times += 1;
            let twice = *times > 1;
            let creates: usize = seen.sent.values().sum();
            if twice {
                seen.report(format!("S5: the create {nonce} was sent twice"));
            }
            if creates > self.0.bounds.creates {
                seen.report(format!("S4: {creates} creates"));
            }
        }
        if let Some(id) = call.deletes() {
            let first = self.seen().judged.insert(id.to_owned());
            if let Some(why) = self.too_early(id, now).filter(|_| first) {
                self.seen().report(format!("S8: DELETE of {id}: {why}"));
            }
        }
    }

    /// The intent of a create is stored, and the resource cannot go without us.
    fn is_armed(&self, nonce: &str) -> bool {
        let token = self.0.api.get::<MachineToken>(TENANT, &self.0.token);
        let held =
            token.is_some_and(|t| t.finalizers().iter().any(|f| f == annotations::FINALIZER));
        let intent = self.ledger().and_then(|stored| stored.ledger.intent);
        held && intent.is_some_and(|intent| intent.nonce.as_str() == nonce)
    }

    /// Why a credential that was in use may not be deleted now.
    fn too_early(&self, id: &str, now: Timestamp) -> Option<String> {
        if self.is_leaving() || !self.seen().used.contains(id) || self.has_expired(id, now) {
            return None;
        }
        let Some(stored) = self.ledger() else {
            return Some("there is no ledger".to_owned());
        };
        let Some(current) = &stored.ledger.current else {
            return Some("it has no successor".to_owned());
        };
        let successor = current.origin.id.as_str();
        if successor == id {
            return Some("it is the one in use".to_owned());
        }
        let proven = self.0.errova.audit().iter().any(|entry| {
            entry.op == Some(Operation::AuthCheck)
                && entry.caller.as_deref() == Some(successor)
                && entry.status != Some(401)
        });
        if !proven {
            return Some(format!("{successor} was never verified"));
        }
        let value = stored.value(current.origin.generation.0);
        let seen = self.seen();
        let delivered = seen.loaded.last().filter(|last| last.until.is_none());
        match delivered {
            Some(last) if Some(&last.value) == value.as_ref() => {
                let held = now.duration_since(last.since);
                (held < self.0.bounds.overlap)
                    .then(|| format!("{successor} is in the target for {held:#} only"))
            }
            _ => Some(format!("the target does not hold {successor}")),
        }
    }

    fn check(&self) {
        let now = self.0.api.clock().now();
        let stored = self.ledger();
        self.look_at_target(now);
        let mut found = Vec::new();
        if self.is_leaving() {
            self.seen().loaded.clear();
        } else {
            found.extend(self.consumers_authenticate(now));
            found.extend(stored.as_ref().and_then(|s| self.current_is_usable(s, now)));
        }
        found.extend(self.everything_live_is_known(stored.as_ref()));
        found.extend(
            stored
                .as_ref()
                .map(|s| self.is_monotone(&s.ledger))
                .unwrap_or_default(),
        );
        let mut seen = self.seen();
        for violation in found {
            seen.report(violation);
        }
    }

    /// What consumers load, with the times.
    fn look_at_target(&self, now: Timestamp) {
        let value = self.target_value();
        let mut seen = self.seen();
        let held = seen.loaded.last().filter(|last| last.until.is_none());
        if held.map(|last| &last.value) == value.as_ref() {
            return;
        }
        if let Some(last) = seen.loaded.last_mut().filter(|last| last.until.is_none()) {
            last.until = Some(now);
        }
        let (since, until) = (now, None);
        seen.loaded.extend(value.map(|value| Loaded {
            value,
            since,
            until,
        }));
    }

    /// S1 and S1b.
    fn consumers_authenticate(&self, now: Timestamp) -> Option<String> {
        let lag = self.0.bounds.lag;
        let seen = self.seen();
        let in_hands = |loaded: &&Loaded| {
            loaded
                .until
                .is_none_or(|until| now.duration_since(until) <= lag)
        };
        let mut refused = seen
            .loaded
            .iter()
            .filter(in_hands)
            .filter(|loaded| self.is_ours(&loaded.value, now))
            .filter(|loaded| !self.0.errova.authenticates(&loaded.value));
        refused.next().map(|loaded| {
            let (since, until) = (loaded.since, loaded.until);
            format!("S1: what the target held since {since} (until {until:?}) is refused")
        })
    }

    /// What a tenant writes into the target is not a credential, and an expired one may be refused.
    fn is_ours(&self, value: &str, now: Timestamp) -> bool {
        let (digest, truth) = (Digest::of(value), self.0.errova.truth());
        let mut truth = truth.into_iter();
        truth
            .find(|one| one.value.as_ref() == Some(&digest))
            .is_some_and(|one| !self.has_expired(&one.id, now))
    }

    /// S3.
    fn current_is_usable(&self, stored: &Stored, now: Timestamp) -> Option<String> {
        let current = stored.ledger.current.as_ref()?;
        let id = current.origin.id.as_str();
        if current.origin.expires_at.is_some_and(|end| end <= now) || current.is_forfeit() {
            return None;
        }
        match stored.value(current.origin.generation.0) {
            None => Some(format!("S3: {id} is current without a value")),
            Some(value) => (!self.0.errova.authenticates(&value))
                .then(|| format!("S3: {id} is current and refused")),
        }
    }

    /// S4, and more: what is alive is recorded, or its create is counted as unresolved.
    fn everything_live_is_known(&self, stored: Option<&Stored>) -> Vec<String> {
        let live = self.live();
        let Some(Stored { ledger, .. }) = stored else {
            let stray = live.first().filter(|_| self.was_lost());
            return stray
                .map(|id| format!("S4: {id} lives without a ledger"))
                .into_iter()
                .collect();
        };
        let recorded: BTreeSet<&str> = ledger.recorded().map(|o| o.id.as_str()).collect();
        let strays = live.iter().filter(|id| !recorded.contains(id.as_str()));
        let open = ledger.abandoned.len() + usize::from(ledger.intent.is_some());
        let (strays, bounds) = (strays.count(), self.0.bounds);
        let mut found = Vec::new();
        if strays > open + bounds.duplicates {
            found.push(format!(
                "S4: {strays} live ones are unrecorded, {open} creates are open"
            ));
        }
        let most = 3 + open + ledger.deleting.len() + bounds.duplicates;
        if live.len() > most {
            found.push(format!("S4: {} are alive, {most} may", live.len()));
        }
        found
    }

    /// S7.
    fn is_monotone(&self, ledger: &Ledger) -> Vec<String> {
        let mut seen = self.seen();
        let mut found = Vec::new();
        let (attempt, epoch) = (ledger.attempt.0, ledger.epoch.0);
        if attempt < seen.attempt || epoch < seen.epoch {
            found.push(format!(
                "S7: attempt {attempt}, epoch {epoch} after later ones"
            ));
        }
        (seen.attempt, seen.epoch) = (attempt, epoch);
        let held = [
            ledger.pending.as_ref().map(|p| &p.origin),
            ledger.current.as_ref().map(|c| &c.origin),
            ledger.retiring.as_ref().map(|r| &r.origin),
        ];
        for origin in held.into_iter().flatten() {
            if seen.doomed.contains(origin.id.as_str()) {
                found.push(format!("S7: {} came back", origin.id));
            }
        }
        let doomed = ledger.deleting.iter().map(|d| d.origin.id.to_string());
        seen.doomed.extend(doomed);
        let current = ledger.current.iter().map(|c| c.origin.id.to_string());
        seen.used.extend(current);
        found
    }

    /// Ids of this token's credentials that authenticate.
    fn live(&self) -> Vec<String> {
        let truth = self.0.errova.truth().into_iter();
        let ours = truth
            .filter(|one| one.authenticates && one.label.ends_with(&format!("/{}", self.0.token)));
        ours.map(|one| one.id).collect()
    }

    fn has_expired(&self, id: &str, now: Timestamp) -> bool {
        self.ledger().is_some_and(|stored| {
            let mut all = stored.ledger.recorded();
            all.any(|o| o.id.as_str() == id && o.expires_at.is_some_and(|end| end <= now))
        })
    }

    /// The ledger of this token was there and is gone, and nobody deleted the token.
    fn was_lost(&self) -> bool {
        self.seen().attempt > 0
    }

    fn is_leaving(&self) -> bool {
        let token = self.0.api.get::<MachineToken>(TENANT, &self.0.token);
        let buried = || self.ledger().is_some_and(|s| s.ledger.tombstone.is_some());
        match token {
            Some(token) => token.metadata.deletion_timestamp.is_some(),
            None => buried() || self.was_lost(),
        }
    }

    fn target_value(&self) -> Option<String> {
        let token = self.0.api.get::<MachineToken>(TENANT, &self.0.token)?;
        let secret = self.0.api.get::<Secret>(TENANT, token.secret_name())?;
        let bytes = secret.data?.remove("token")?.0;
        String::from_utf8(bytes).ok()
    }

    fn ledger(&self) -> Option<Stored> {
        let secrets: Vec<Secret> = self.0.api.list();
        secrets.into_iter().find_map(|secret| {
            let text = secret.metadata.annotations?.remove(annotations::LEDGER)?;
            let ledger = Ledger::decode(&text).ok()?;
            let data = secret.data.unwrap_or_default();
            (ledger.owner.name == self.0.token).then_some(Stored { ledger, data })
        })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Once each: what is broken stays so for a while.
    fn report(&mut self, violation: String) {
        if !self.violations.contains(&violation) {
            self.lines.push(format!("  !!! {violation}"));
            self.violations.push(violation);
        }
    }
}
