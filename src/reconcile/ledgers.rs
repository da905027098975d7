//! Every ledger as it was last seen, without values: from a watch of metadata and from our own writes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube_runtime::watcher::Event;

use crate::ledger::{
    ids::CredentialId,
    record::{Ledger, Origin, Owner, Place},
    store::Snapshot,
};

/// The ledgers by the uid of their owner.
#[derive(Debug, Default)]
pub struct Ledgers {
    known: Mutex<HashMap<String, Arc<Snapshot>>>,
    relisted: Mutex<Option<HashMap<String, Arc<Snapshot>>>>,
}

impl Ledgers {
    /// What is known of one owner's ledger.
    pub fn get(&self, owner_uid: &str) -> Option<Arc<Snapshot>> {
        self.lock().get(owner_uid).cloned()
    }

    /// Ledgers whose resource was deleted.
    pub fn buried(&self) -> Vec<Arc<Snapshot>> {
        let buried = |seen: &&Arc<Snapshot>| seen.ledger.tombstone.is_some();
        self.lock().values().filter(buried).cloned().collect()
    }

    /// How many credentials are to be deleted at the provider, by connection as metrics call it:
    /// `namespace/name`, or `name` for one of the cluster. The connection itself may be gone.
    pub fn pending_revocations(&self) -> BTreeMap<String, u64> {
        let mut pending = BTreeMap::new();
        for seen in self.lock().values() {
            for doomed in &seen.ledger.deleting {
                let connection = &doomed.origin.place.connection;
                let name = match connection.split_once('/') {
                    Some(("Connection", name)) => format!("{}/{name}", seen.ledger.owner.namespace),
                    Some((_, name)) => name.to_owned(),
                    None => connection.clone(),
                };
                *pending.entry(name).or_default() += 1;
            }
        }
        pending
    }

    /// Whether any ledger records a credential of that id at that place.
    pub fn records(&self, place: &Place, id: &CredentialId) -> bool {
        let here = |origin: &Origin| {
            origin.id == *id
                && origin.place.endpoint == place.endpoint
                && origin.place.organization == place.organization
        };
        self.lock()
            .values()
            .any(|seen| seen.ledger.recorded().any(here))
    }

    /// Something about every ledger.
    pub fn map<T>(&self, each: impl FnMut(&Ledger) -> T) -> Vec<T> {
        let mut each = each;
        self.lock()
            .values()
            .map(|seen| each(&seen.ledger))
            .collect()
    }

    /// A reply or a live read: what is there now.
    pub fn record(&self, snapshot: &Snapshot) {
        let uid = snapshot.ledger.owner.uid.clone();
        let mut known = self.lock();
        if known
            .get(&uid)
            .is_none_or(|before| is_newer(snapshot.version(), before.version()))
        {
            known.insert(uid, Arc::new(snapshot.without_values()));
        }
    }

    /// A live read showed that there is none.
    pub fn forget(&self, owner_uid: &str) {
        self.lock().remove(owner_uid);
    }

    /// Takes in one event of the watch. Answers the owner if that is news to us.
    pub fn observe(&self, event: Event<PartialObjectMeta<Secret>>) -> Option<Owner> {
        match event {
            Event::Init => {
                *self.relist() = Some(HashMap::new());
                None
            }
            Event::InitApply(object) => {
                let seen = Arc::new(Snapshot::from_metadata(&object.metadata).ok()?);
                let uid = seen.ledger.owner.uid.clone();
                self.relist().as_mut()?.insert(uid, seen.clone());
                self.news(seen)
            }
            Event::InitDone => {
                let listed = self.relist().take()?;
                self.lock().retain(|uid, _| listed.contains_key(uid));
                None
            }
            Event::Apply(object) => {
                self.news(Arc::new(Snapshot::from_metadata(&object.metadata).ok()?))
            }
            Event::Delete(object) => {
                let seen = Snapshot::from_metadata(&object.metadata).ok()?;
                let mut known = self.lock();
                let uid = &seen.ledger.owner.uid;
                let ours = known
                    .get(uid)
                    .is_some_and(|before| before.is_same_object(&seen));
                ours.then(|| known.remove(uid))
                    .flatten()
                    .map(|gone| gone.ledger.owner.clone())
            }
        }
    }

    fn news(&self, seen: Arc<Snapshot>) -> Option<Owner> {
        let mut known = self.lock();
        let owner = seen.ledger.owner.clone();
        let before = known.get(&owner.uid);
        if before.is_some_and(|before| !is_newer(seen.version(), before.version())) {
            return None;
        }
        known.insert(owner.uid.clone(), seen);
        Some(owner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Snapshot>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn relist(&self) -> std::sync::MutexGuard<'_, Option<HashMap<String, Arc<Snapshot>>>> {
        self.relisted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether version `a` is later than `b`. Resource versions are integers on every API server that we
/// support; where they cannot be read as such, what comes is taken for news, which costs a look.
pub fn is_newer(a: &str, b: &str) -> bool {
    match (a.parse::<u128>(), b.parse::<u128>()) {
        (Ok(a), Ok(b)) => a > b,
        _ => a != b,
    }
}

#[cfg(test)]
mod tests;
