//! Everything behind the lock: the objects, and what the test has arranged.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    control::{Attempt, Check, Denial, Entry, Hook},
    failure::Failure,
    kinds::{DEFINITIONS, Kind},
    object,
    request::{Call, Format, Verb},
    store::{Key, Store, Write},
    write::{self, Decision, Outcome, Subject},
};

pub(super) struct State {
    pub(super) store: Store,
    pub(super) log: Vec<Entry>,
    pub(super) hook: Option<Hook>,
    pub(super) checks: Vec<Check>,
    pub(super) violations: Vec<String>,
    pub(super) denials: Vec<Denial>,
}

impl State {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            log: Vec::new(),
            hook: None,
            checks: Vec::new(),
            violations: Vec::new(),
            denials: Vec::new(),
        }
    }

    /// Whether a [`Denial`] stands against it.
    pub(super) fn authorize(&self, kind: &Kind, call: &Call) -> Result<(), Failure> {
        let info = &call.info;
        let attempt = Attempt {
            verb: info.verb.as_str(),
            resource: &info.resource,
            subresource: info.subresource.as_deref(),
            namespace: info.namespace.as_deref().unwrap_or_default(),
        };
        if !self.denies(&attempt) {
            return Ok(());
        }
        let place = match attempt.namespace {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace \"{namespace}\""),
        };
        let named = (info.verb != Verb::Create).then_some(info.name.as_deref());
        let name = named.flatten();
        Err(Failure::denied(
            kind,
            name,
            &info.client,
            attempt.verb,
            &place,
        ))
    }

    pub(super) fn denies(&self, attempt: &Attempt<'_>) -> bool {
        self.denials.iter().any(|denial| denial.covers(attempt))
    }

    /// Decides on a writing request, and makes the write unless it is a dry run.
    pub(super) fn write(
        &mut self,
        kind: &Kind,
        call: &Call,
        now: Timestamp,
    ) -> Result<(u16, Value), Failure> {
        let info = &call.info;
        let key = Key::new(
            kind,
            info.namespace.as_deref().unwrap_or_default(),
            info.name.as_deref().unwrap_or_default(),
        );
        let subject = Subject {
            kind,
            key: &key,
            status: info.subresource.is_some(),
        };
        let body = &call.body;
        let decision = match info.verb {
            Verb::Create => write::create(&self.store, subject, body.clone(), now),
            Verb::Delete => write::delete(&self.store, subject, body, now),
            _ if call.format == Format::Apply => write::apply(&self.store, subject, body, now),
            _ => write::update(&self.store, subject, call.format, body),
        }?;
        let code = decision.code;
        Ok((code, self.settle(kind, decision, info.dry_run, now)))
    }

    /// Makes a decided write and what follows from it.
    pub(super) fn settle(
        &mut self,
        kind: &Kind,
        decision: Decision,
        dry_run: bool,
        now: Timestamp,
    ) -> Value {
        let (write, answer) = match decision.outcome {
            Outcome::Keep(object) => return object,
            Outcome::Remove(write) => {
                let answer = removed(kind, &write.object);
                (write, Some(answer))
            }
            // The reply to the last finalizer's removal still shows the version before.
            Outcome::Store(write) if write.removes => {
                let answer = write.object.clone();
                (write, Some(answer))
            }
            Outcome::Store(write) => (write, None),
        };
        if dry_run {
            return answer.unwrap_or(write.object);
        }
        let object = self.store.commit(write, now);
        if kind.plural == DEFINITIONS
            && let Some(defined) = Kind::of(&object)
        {
            self.store.define(defined);
        }
        self.empty_namespaces(now);
        answer.unwrap_or_else(|| (*object).clone())
    }

    /// The namespace controller: deletes what is in a terminating namespace, and at last itself.
    fn empty_namespaces(&mut self, now: Timestamp) {
        let kinds = self.store.kinds().to_vec();
        let Some(namespaces) = kinds.iter().find(|kind| kind.plural == "namespaces") else {
            return;
        };
        let terminating: Vec<Key> = self
            .store
            .list(namespaces, None)
            .filter(|(_, object)| object::is_deleting(object))
            .map(|(key, _)| key.clone())
            .collect();
        for namespace in terminating {
            let mut is_empty = true;
            for kind in kinds.iter().filter(|kind| kind.namespaced) {
                is_empty &= self.empty(kind, &namespace.name, now);
            }
            if is_empty {
                self.finish(namespace, now);
            }
        }
    }

    /// Deletes all objects of one kind; says whether they are gone.
    fn empty(&mut self, kind: &Kind, namespace: &str, now: Timestamp) -> bool {
        let keys: Vec<Key> = self
            .store
            .list(kind, Some(namespace))
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            let subject = Subject {
                kind,
                key: &key,
                status: false,
            };
            let decision = write::delete(&self.store, subject, &Value::Null, now);
            if let Ok(Outcome::Store(write) | Outcome::Remove(write)) =
                decision.map(|decision| decision.outcome)
            {
                self.store.commit(write, now);
            }
        }
        self.store.list(kind, Some(namespace)).next().is_none()
    }

    fn finish(&mut self, namespace: Key, now: Timestamp) {
        let left = self.store.get(&namespace).map(|object| (**object).clone());
        if let Some(object) = left.filter(|object| object::finalizers(object).next().is_none()) {
            let write = Write {
                key: namespace,
                object,
                removes: true,
            };
            self.store.commit(write, now);
        }
    }
}

/// The answer to a deletion that is done.
fn removed(kind: &Kind, object: &Value) -> Value {
    let mut details = json!({
        "name": object["metadata"]["name"],
        "kind": kind.plural,
        "uid": object["metadata"]["uid"],
    });
    if !kind.group.is_empty() {
        details["group"] = json!(kind.group);
    }
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
    })
}
