//! Kubernetes Events: what happened to a resource, for `kubectl describe`.
//!
//! # Guarantees
//! - [`Recorder::record`] returns at once. What it was told waits in a short queue for the [`Publisher`];
//!   when that is full, the oldest goes: an Event is news, the condition is the record.
//! - A refused or unanswered Event costs a debug line, nothing else.
//!
//! - Within six minutes, the same happening to the same object with the same note is one Event with a
//!   count. Another note is another Event: nobody is shown an id of the happening before.

use std::{collections::HashMap, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{self, EventType},
};
use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Instant, MissedTickBehavior, interval},
};

use crate::cluster::answer;

/// Who reports, in `reportingController`. The instance is the host name, which is the Pod's name.
const CONTROLLER: &str = "handover.dev/handover";

/// How many Events may wait.
const QUEUE: usize = 256;

/// Between two Events at least this: a fleet that starts must not spend its API server on news.
const PACE: Duration = Duration::from_millis(20);

/// For so long kube adds to an Event instead of making another.
const SERIES: Duration = Duration::from_secs(6 * 60);

/// The API server refuses longer notes. It counts bytes.
const NOTE_MAX: usize = 1024;

/// One line per happening: whether someone should look, the reason's name, the action, what it means.
macro_rules! happenings {
    ($($severity:ident $name:ident $action:literal $meaning:literal;)+) => {
        /// What can happen to a resource.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Happening {
            $(#[doc = $meaning] $name,)+
        }

        impl Happening {
            /// Everything that can happen, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The reason of the Event.
            pub const fn reason(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// What was being done.
            pub const fn action(self) -> &'static str {
                match self {
                    $(Self::$name => $action,)+
                }
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $meaning,)+
                }
            }

            /// Whether someone should look.
            pub const fn is_warning(self) -> bool {
                match self {
                    $(Self::$name => matches!(EventType::$severity, EventType::Warning),)+
                }
            }
        }
    };
}

happenings! {
    Normal Issued "Issue" "A credential was created and stored.";
    Normal Verified "Verify" "The stored credential authenticated.";
    Normal Delivered "Deliver" "The target Secret was written.";
    Normal Rotated "Rotate" "Another credential became current; the note names the cause.";
    Normal Revoked "Revoke" "A credential is proven to be gone at the provider.";
    Normal TargetRestored "Restore" "The target Secret was damaged and is whole again.";
    Normal ConnectionRestored "Connect" "Authenticated calls succeed again.";
    Warning TargetDamaged "Watch" "The target Secret was deleted or edited by somebody else.";
    Warning TargetForeign "Deliver" "A Secret of the target's name belongs to somebody else.";
    Warning TargetRejected "Deliver" "The API server refuses the target Secret.";
    Warning RotationBlocked "Retire" "The overlap is over, but the credential before is still in use.";
    Warning VerifyFailed "Verify" "A new credential did not authenticate and was not used.";
    Warning AmbiguousCreate "Issue" "The outcome of a create is unknown.";
    Warning NotAllowed "Issue" "No access rule of the connection admits what is asked for.";
    Warning BudgetExhausted "Issue" "Too many credentials were created without one becoming current.";
    Warning RevocationPending "Revoke" "The provider does not confirm a revocation; it is tried again.";
    Warning BreakerOpen "Issue" "Something impossible happened; creating and deleting stopped on the connection.";
    Warning ConnectionLost "Connect" "Authenticated calls do not succeed any more.";
    Warning NamespaceNotGranted "Watch" "The operator has no rights in this namespace.";
}

impl Happening {
    const fn event_type(self) -> EventType {
        if self.is_warning() {
            EventType::Warning
        } else {
            EventType::Normal
        }
    }
}

#[derive(Debug, Clone)]
struct Notice {
    happening: Happening,
    about: ObjectReference,
    note: String,
}

/// Where happenings are told. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Recorder(broadcast::Sender<Notice>);

/// Sends what the recorders were told.
pub struct Publisher {
    notices: broadcast::Receiver<Notice>,
    client: Client,
    /// One recorder for each note, and when it was last used: kube's recorder takes happenings for the
    /// same without looking at the note, and would show the first one for all of them.
    series: HashMap<String, (events::Recorder, Instant)>,
}

/// A recorder, and the publisher that must run for it.
pub fn recorder(client: Client) -> (Recorder, Publisher) {
    let (sender, notices) = broadcast::channel(QUEUE);
    let publisher = Publisher {
        notices,
        client,
        series: HashMap::new(),
    };
    (Recorder(sender), publisher)
}

impl Recorder {
    /// Tells that something happened. The note names cause and ids: never a value, never the provider's
    /// text. Events about objects of the cluster appear in the namespace `default`.
    pub fn record(&self, happening: Happening, about: ObjectReference, note: impl Into<String>) {
        let notice = Notice {
            happening,
            about,
            note: cut(note.into()),
        };
        // Without a publisher there is nobody to tell, as after the end of it.
        let _ = self.0.send(notice);
    }
}

impl Publisher {
    /// Publishes until all recorders are gone and nothing waits any more.
    pub async fn run(mut self) {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            match self.notices.recv().await {
                Ok(notice) => {
                    pace.tick().await;
                    self.publish(notice).await;
                }
                Err(RecvError::Lagged(dropped)) => {
                    tracing::debug!(events.dropped = dropped, "too many Events at once");
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn series(&mut self, note: &str) -> events::Recorder {
        let now = Instant::now();
        self.series
            .retain(|_, (_, used)| now.duration_since(*used) < SERIES);
        let fresh = || events::Recorder::new(self.client.clone(), CONTROLLER.into());
        let (recorder, used) = self
            .series
            .entry(note.to_owned())
            .or_insert_with(|| (fresh(), now));
        *used = now;
        recorder.clone()
    }

    async fn publish(&mut self, notice: Notice) {
        let series = self.series(&notice.note);
        let happening = notice.happening;
        let event = events::Event {
            type_: happening.event_type(),
            reason: happening.reason().to_owned(),
            note: Some(notice.note),
            action: happening.action().to_owned(),
            secondary: None,
        };
        if let Err(error) = answer(series.publish(&event, &notice.about)).await {
            tracing::debug!(
                event.reason = happening.reason(),
                object.namespace = notice.about.namespace,
                object.name = notice.about.name,
                %error,
                "could not publish an Event"
            );
        }
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}

fn cut(mut note: String) -> String {
    const MORE: &str = "…";
    if note.len() > NOTE_MAX {
        let fits = |end: &usize| note.is_char_boundary(*end);
        let end = (0..=NOTE_MAX - MORE.len()).rev().find(fits).unwrap_or(0);
        note.truncate(end);
        note.push_str(MORE);
    }
    note
}

#[cfg(test)]
mod tests;
