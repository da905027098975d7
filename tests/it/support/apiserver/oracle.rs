//! The state of the world, seen and changed from outside: no request, no fault, no refusal.

use std::sync::Arc;

use jiff::Timestamp;
use kube::Resource;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    ApiServer,
    failure::Failure,
    kinds::Kind,
    request::Format,
    state::State,
    store::Key,
    write::{self, Decision, Subject},
};

/// One version of an object.
#[derive(Clone, Debug)]
pub(crate) struct Version<K> {
    pub(crate) number: u64,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) at: Timestamp,
    /// Nothing where this version is its removal.
    pub(crate) object: Option<K>,
}

/// What a test mostly asks for: a typed object of a kind that the server knows.
pub(crate) trait Object: Resource<DynamicType = ()> + Serialize + DeserializeOwned {}

impl<K: Resource<DynamicType = ()> + Serialize + DeserializeOwned> Object for K {}

impl ApiServer {
    /// The object, if it exists.
    pub(crate) fn get<K: Object>(&self, namespace: &str, name: &str) -> Option<K> {
        let state = self.state();
        let (_, key) = place::<K>(&state, namespace, name);
        state.store.get(&key).map(|object| typed(object))
    }

    /// All objects of a kind, in all namespaces.
    pub(crate) fn list<K: Object>(&self) -> Vec<K> {
        let state = self.state();
        let (kind, _) = place::<K>(&state, "", "");
        let objects = state.store.list(&kind, None);
        objects.map(|(_, object)| typed(object)).collect()
    }

    /// Every version that these objects of a kind ever had, oldest first; `is_meant` is asked with
    /// namespace and name.
    pub(crate) fn history<K: Object>(
        &self,
        is_meant: impl Fn(&str, &str) -> bool,
    ) -> Vec<Version<K>> {
        let state = self.state();
        let (kind, _) = place::<K>(&state, "", "");
        let changes = state.store.since(0).iter();
        changes
            .filter(|change| change.key.is_of(&kind))
            .filter(|change| is_meant(&change.key.namespace, &change.key.name))
            .map(|change| Version {
                number: change.version,
                namespace: change.key.namespace.clone(),
                name: change.key.name.clone(),
                at: change.at,
                object: change.left().map(|object| typed(object)),
            })
            .collect()
    }

    /// Creates the object or writes over what is there, whatever its version; the status stays.
    pub(crate) fn apply_as_user<K: Object>(&self, object: &K) -> K {
        let mut body = serde_json::to_value(object).expect("objects are JSON");
        let meta = object.meta();
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let name = meta.name.as_deref().expect("the object has a name");
        self.user_writes::<K>(namespace, name, false, |state, subject, now| {
            let version = match state.store.get(subject.key) {
                Some(current) => current["metadata"]["resourceVersion"].clone(),
                None => Value::Null,
            };
            body["metadata"]["resourceVersion"] = version.clone();
            body["metadata"]["uid"] = Value::Null;
            if version.is_null() {
                write::create(&state.store, subject, body, now)
            } else {
                write::update(&state.store, subject, Format::Whole, &body)
            }
        })
    }

    /// Merges into the object, as `kubectl patch` does.
    pub(crate) fn patch_as_user<K: Object>(&self, namespace: &str, name: &str, patch: &Value) -> K {
        self.user_writes::<K>(namespace, name, false, |state, subject, _| {
            write::update(&state.store, subject, Format::MergePatch, patch)
        })
    }

    /// Merges into the status, as a kubelet or another controller does.
    pub(crate) fn patch_status_as_user<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        status: &Value,
    ) -> K {
        self.user_writes::<K>(namespace, name, true, |state, subject, _| {
            let patch = json!({"status": status});
            write::update(&state.store, subject, Format::MergePatch, &patch)
        })
    }

    /// Deletes the object, as `kubectl delete` does: finalizers hold it back.
    pub(crate) fn delete_as_user<K: Object>(&self, namespace: &str, name: &str) {
        let mut state = self.state();
        let (kind, key) = place::<K>(&state, namespace, name);
        let subject = Subject {
            kind: &kind,
            key: &key,
            status: false,
        };
        let now = self.clock().now();
        let decision = write::delete(&state.store, subject, &Value::Null, now)
            .expect("there is something to delete");
        state.settle(&kind, decision, false, now);
        drop(state);
        self.tell_watches();
    }

    /// Creates a namespace.
    pub(crate) fn add_namespace(&self, name: &str) {
        self.apply_as_user(&k8s_openapi::api::core::v1::Namespace {
            metadata: kube::core::ObjectMeta {
                name: Some(name.to_owned()),
                ..Default::default()
            },
            ..Default::default()
        });
    }

    fn user_writes<K: Object>(
        &self,
        namespace: &str,
        name: &str,
        status: bool,
        decide: impl FnOnce(&State, Subject<'_>, Timestamp) -> Result<Decision, Failure>,
    ) -> K {
        let mut state = self.state();
        let (kind, key) = place::<K>(&state, namespace, name);
        let subject = Subject {
            kind: &kind,
            key: &key,
            status,
        };
        let now = self.clock().now();
        let decision = decide(&state, subject, now).expect("the server accepts it");
        let object = state.settle(&kind, decision, false, now);
        drop(state);
        self.tell_watches();
        typed(&object)
    }
}

fn place<K: Object>(state: &State, namespace: &str, name: &str) -> (Arc<Kind>, Key) {
    let (group, version, plural) = (K::group(&()), K::version(&()), K::plural(&()));
    let kind = state
        .store
        .kind(&group, &version, &plural)
        .expect("the server knows the kind");
    let key = Key::new(&kind, namespace, name);
    (kind, key)
}

fn typed<K: DeserializeOwned>(object: &Value) -> K {
    serde_json::from_value(object.clone()).expect("the object has its type's shape")
}
