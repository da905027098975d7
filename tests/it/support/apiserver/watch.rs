//! Watches: the history, from a version on, as a stream that ends on virtual time.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, stream};
use http_body::Frame;
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    ApiServer,
    failure::Failure,
    kinds::Kind,
    read::{selection, shaped},
    request::Call,
    select::Selection,
    store::{Change, Store},
};

/// The real server picks a time between thirty and sixty minutes for those who name none.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// What running watches are told besides the events.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pulse {
    pub(super) version: u64,
    /// Watches that began under another number end.
    pub(super) cut: u64,
    /// Events are kept back.
    pub(super) held: bool,
}

/// One running watch.
#[derive(Debug)]
pub(super) struct Watch {
    server: ApiServer,
    kind: Arc<Kind>,
    namespace: Option<String>,
    selection: Selection,
    metadata_only: bool,
    bookmarks: bool,
    /// Events up to this version were sent.
    version: u64,
    first: Vec<Value>,
    ends: Instant,
    is_over: bool,
    cut: u64,
    pulse: watch::Receiver<Pulse>,
}

impl Watch {
    /// Begins a watch; a version that is too old is answered inside the stream.
    pub(super) fn begin(
        server: ApiServer,
        store: &Store,
        kind: Arc<Kind>,
        call: &Call,
        pulse: watch::Receiver<Pulse>,
    ) -> Result<Self, Failure> {
        if call.parameters.is("sendInitialEvents") {
            return Err(Failure::no_streaming_lists());
        }
        let seconds = call.parameters.number("timeoutSeconds")?;
        let lasts = seconds.map_or(LONGEST, Duration::from_secs);
        let asked = call.parameters.number("resourceVersion")?.unwrap_or(0);
        let cut = pulse.borrow().cut;
        let mut watch = Self {
            server,
            kind,
            namespace: call.info.namespace.clone(),
            selection: selection(call)?,
            metadata_only: call.metadata_only,
            bookmarks: call.parameters.is("allowWatchBookmarks"),
            version: asked,
            first: Vec::new(),
            ends: Instant::now() + lasts,
            is_over: false,
            cut,
            pulse,
        };
        if asked == 0 {
            watch.begin_with_everything(store);
        } else if asked < store.oldest {
            let expired = Failure::expired(asked, store.oldest);
            watch.first = vec![json!({"type": "ERROR", "object": expired.body()})];
            watch.is_over = true;
        }
        Ok(watch)
    }

    fn begin_with_everything(&mut self, store: &Store) {
        self.version = store.version();
        self.first = store
            .list(&self.kind, self.namespace.as_deref())
            .filter(|(_, object)| self.selection.matches(object))
            .map(|(_, object)| self.event("ADDED", object))
            .collect();
    }

    /// The body of the answer.
    pub(super) fn into_frames(self) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> {
        stream::unfold(self, |mut watch| async move {
            let events = watch.next().await?;
            let mut lines: Vec<String> = events.iter().map(Value::to_string).collect();
            lines.push(String::new());
            Some((Ok(Frame::data(Bytes::from(lines.join("\n")))), watch))
        })
    }

    /// Waits for events; `None` at the end.
    async fn next(&mut self) -> Option<Vec<Value>> {
        loop {
            if !self.first.is_empty() {
                return Some(std::mem::take(&mut self.first));
            }
            let pulse = *self.pulse.borrow_and_update();
            if self.is_over || pulse.cut != self.cut {
                return None;
            }
            if !pulse.held {
                self.first = self.catch_up();
                if !self.first.is_empty() {
                    continue;
                }
            }
            tokio::select! {
                told = self.pulse.changed() => told.ok()?,
                () = sleep_until(self.ends) => self.end(),
            }
        }
    }

    /// The events since the last ones.
    fn catch_up(&mut self) -> Vec<Value> {
        let server = self.server.clone();
        let state = server.state();
        let changes = state.store.since(self.version);
        let events = changes
            .iter()
            .filter_map(|change| self.seen(change))
            .collect();
        self.version = self.version.max(state.store.version());
        events
    }

    /// What this watch sees of a write: an object that leaves the selection is gone for it.
    fn seen(&self, change: &Change) -> Option<Value> {
        let inside = self
            .namespace
            .as_deref()
            .is_none_or(|ns| change.key.namespace == ns);
        if !inside || !change.key.is_of(&self.kind) {
            return None;
        }
        let before = change
            .before
            .as_ref()
            .is_some_and(|o| self.selection.matches(o));
        let after = change.left().is_some_and(|o| self.selection.matches(o));
        match (before, after) {
            (false, false) => None,
            (false, true) => Some(self.event("ADDED", &change.after)),
            (true, true) => Some(self.event("MODIFIED", &change.after)),
            (true, false) => {
                let mut last = change.before.as_deref()?.clone();
                last["metadata"]["resourceVersion"] = json!(change.version.to_string());
                Some(self.event("DELETED", &last))
            }
        }
    }

    fn event(&self, what: &str, object: &Value) -> Value {
        json!({"type": what, "object": shaped(object, self.metadata_only)})
    }

    /// The time is over: a last bookmark, so that the next watch begins where this one ended.
    fn end(&mut self) {
        self.is_over = true;
        if self.bookmarks {
            let version = self.version.to_string();
            let mark = json!({
                "kind": self.kind.name,
                "apiVersion": self.kind.api_version(),
                "metadata": {"resourceVersion": version, "creationTimestamp": null},
            });
            self.first = vec![self.event("BOOKMARK", &mark)];
        }
    }
}
