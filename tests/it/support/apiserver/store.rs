//! The objects, every version they ever had, and the one counter that numbers them.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::kinds::Kind;

/// Where an object lives. Sorts as etcd does: by resource, namespace, name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// `secrets`, `connections.handover.dev`.
    resource: String,
    /// Empty for what has none.
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Key {
    pub(super) fn new(kind: &Kind, namespace: &str, name: &str) -> Self {
        Self {
            resource: kind.resource(),
            namespace: if kind.namespaced { namespace } else { "" }.to_owned(),
            name: name.to_owned(),
        }
    }

    pub(super) fn is_of(&self, kind: &Kind) -> bool {
        self.resource == kind.resource()
    }
}

/// One committed write.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) at: Timestamp,
    pub(super) key: Key,
    pub(super) before: Option<Arc<Value>>,
    /// What it left behind; for a removal the last state, under `removed`.
    pub(super) after: Arc<Value>,
    pub(super) removed: bool,
}

impl Change {
    /// The object as it stands after this write.
    pub(super) fn left(&self) -> Option<&Arc<Value>> {
        (!self.removed).then_some(&self.after)
    }
}

/// A write that was decided on but not made: a dry run ends here.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) key: Key,
    pub(super) object: Value,
    pub(super) removes: bool,
}

/// All objects of one server.
#[derive(Debug)]
pub(super) struct Store {
    kinds: Vec<Arc<Kind>>,
    objects: BTreeMap<Key, Arc<Value>>,
    history: Vec<Change>,
    version: u64,
    /// Watches and pages from before this version are refused.
    pub(super) oldest: u64,
}

impl Store {
    pub(super) fn new(kinds: Vec<Kind>) -> Self {
        Self {
            kinds: kinds.into_iter().map(Arc::new).collect(),
            objects: BTreeMap::new(),
            history: Vec::new(),
            version: 1,
            oldest: 0,
        }
    }

    pub(super) fn kind(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        let fits = |k: &&Arc<Kind>| k.group == group && k.version == version && k.plural == plural;
        self.kinds.iter().find(fits).cloned()
    }

    pub(super) fn kinds(&self) -> &[Arc<Kind>] {
        &self.kinds
    }

    /// Serves a further kind, or the same one as it is defined now.
    pub(super) fn define(&mut self, kind: Kind) {
        self.kinds
            .retain(|other| other.resource() != kind.resource());
        self.kinds.push(Arc::new(kind));
    }

    /// The version of the last write.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// The objects of one kind, in order, of one namespace or of all.
    pub(super) fn list<'a>(
        &'a self,
        kind: &'a Kind,
        namespace: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        let start = Key::new(kind, namespace.unwrap_or_default(), "");
        self.objects
            .range((Bound::Included(start), Bound::Unbounded))
            .take_while(move |(key, _)| key.is_of(kind))
            .filter(move |(key, _)| namespace.is_none_or(|ns| key.namespace == ns))
    }

    /// The same as it was at this version.
    pub(super) fn list_at(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        version: u64,
    ) -> Vec<(Key, Arc<Value>)> {
        if version == self.version {
            let now = self.list(kind, namespace);
            return now
                .map(|(key, object)| (key.clone(), object.clone()))
                .collect();
        }
        let mut then = BTreeMap::new();
        let of_kind = |c: &&Change| {
            c.version <= version
                && c.key.is_of(kind)
                && namespace.is_none_or(|ns| c.key.namespace == ns)
        };
        for change in self.history.iter().filter(of_kind) {
            match change.left() {
                Some(object) => then.insert(change.key.clone(), object.clone()),
                None => then.remove(&change.key),
            };
        }
        then.into_iter().collect()
    }

    /// Every write after a version, oldest first.
    pub(super) fn since(&self, version: u64) -> &[Change] {
        let first = self.history.partition_point(|c| c.version <= version);
        &self.history[first..]
    }

    /// Makes a decided write, and gives back the object under its new version.
    pub(super) fn commit(&mut self, write: Write, at: Timestamp) -> Arc<Value> {
        let Write {
            key,
            mut object,
            removes,
        } = write;
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let after = Arc::new(object);
        let before = if removes {
            self.objects.remove(&key)
        } else {
            self.objects.insert(key.clone(), after.clone())
        };
        self.history.push(Change {
            version: self.version,
            at,
            key,
            before,
            after: after.clone(),
            removed: removes,
        });
        after
    }

    /// A uid that no other object of this server has: a bijection of the version that will create it.
    pub(super) fn next_uid(&self) -> String {
        let mut bits = (self.version + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let (high, low) = (bits >> 16, bits & 0xffff);
        format!(
            "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
            high >> 16,
            high & 0xffff,
            low >> 4,
            low & 0xf,
            self.version + 1
        )
    }
}
