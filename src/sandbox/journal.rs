//! One log of two witnesses: what the operator wrote to the API server (by the API server's audit log), and
//! what happened at the provider (by the simulator's).
//!
//! Neither is the operator's own word. A write counts from the moment it was answered, a call from the
//! moment the provider acted on it; both by the clock of this machine.

use std::{fs, path::Path};

use jiff::Timestamp;
use serde::Deserialize;

use super::{
    SandboxError,
    operator::{ACCOUNT, NAMESPACE},
};
use crate::simulator::{AuditEntry, Operation};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) at: Timestamp,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// The target could be written: a dry run.
    Rehearsed,
    LedgerWritten,
    TargetWritten,
    TargetDeleted,
    Created(Creation),
    /// The operator asked whether the value of this credential is accepted, and it is.
    Authenticated(String),
    /// This credential was deleted.
    Deleted(String),
}

impl What {
    fn creates(&self, attempt: u64) -> Option<&Creation> {
        match self {
            Self::Created(creation) if creation.attempt == attempt => Some(creation),
            _ => None,
        }
    }
}

/// A create that the provider carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Creation {
    pub(super) attempt: u64,
    pub(super) id: String,
    pub(super) label: String,
    /// Whether the answer left the provider.
    pub(super) answered: bool,
}

/// Everything so far, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Journal(Vec<Entry>);

/// The way of one attempt into the target, each step before the next.
#[derive(Clone, Debug)]
pub(super) struct Issue {
    /// Of the first issue only: later the target is there.
    pub(super) rehearsed: Option<Timestamp>,
    pub(super) armed: Timestamp,
    pub(super) created: Timestamp,
    pub(super) creation: Creation,
    pub(super) filled: Timestamp,
    pub(super) verified: Timestamp,
    pub(super) promoted: Timestamp,
    pub(super) delivered: Timestamp,
}

/// The end of one credential.
#[derive(Clone, Debug)]
pub(super) struct Revocation {
    /// When its successor was proven once more, if it has one.
    pub(super) proven: Option<Timestamp>,
    pub(super) marked: Timestamp,
    pub(super) deleted: Timestamp,
}

/// A line of the API server's audit log, as far as we care.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditLine {
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: User,
    object_ref: Option<Object>,
    response_status: Option<Response>,
    stage_timestamp: Timestamp,
}

#[derive(Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Debug, Deserialize)]
struct Object {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

#[derive(Debug, Deserialize)]
struct Response {
    code: u16,
}

impl Journal {
    /// Reads both logs. `target` is the target as `(namespace, name)`.
    pub(super) fn read(
        audit_log: &Path,
        audit: &[AuditEntry],
        target: (&str, &str),
    ) -> Result<Self, SandboxError> {
        let text = fs::read_to_string(audit_log).map_err(|source| SandboxError::File {
            path: audit_log.to_owned(),
            source,
        })?;
        // The last line may be half written yet.
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let written = lines.filter_map(|line| written(&line, target));
        let mut entries: Vec<Entry> = written.chain(audit.iter().filter_map(called)).collect();
        entries.sort_by_key(|entry| entry.at);
        Ok(Self(entries))
    }

    /// How many creates there were in all.
    pub(super) fn created(&self) -> usize {
        let is_create = |entry: &&Entry| matches!(entry.what, What::Created(_));
        self.0.iter().filter(is_create).count()
    }

    /// The creates for an attempt, answered or not.
    pub(super) fn creations(&self, attempt: u64) -> Vec<&Creation> {
        let entries = self.0.iter();
        entries
            .filter_map(|entry| entry.what.creates(attempt))
            .collect()
    }

    /// The way of an attempt into the target; an error names the step that is missing, or that came
    /// before its time.
    pub(super) fn issue(&self, attempt: u64) -> Result<Issue, SandboxError> {
        let missing = |step: &str| SandboxError::Untrue(format!("attempt {attempt}: {step}"));
        let (at, creation) = self
            .find(0, |what| what.creates(attempt).cloned())
            .ok_or_else(|| missing("the provider created nothing for it"))?;
        if self.creations(attempt).len() > 1 {
            return Err(missing("its create was sent twice"));
        }
        let id = creation.id.clone();
        let armed = self
            .last_before(at, |what| *what == What::LedgerWritten)
            .ok_or_else(|| missing("no ledger was written before the create"))?;
        let filled = self
            .next(at, |what| *what == What::LedgerWritten)
            .ok_or_else(|| missing("the value was not stored"))?;
        let verified = self
            .next(filled, |what| *what == What::Authenticated(id.clone()))
            .ok_or_else(|| missing("the stored value was not tried"))?;
        let promoted = self
            .next(verified, |what| *what == What::LedgerWritten)
            .ok_or_else(|| missing("it was not promoted after it was tried"))?;
        let delivered = self
            .next(at, |what| *what == What::TargetWritten)
            .ok_or_else(|| missing("the target was not written"))?;
        if delivered < promoted {
            return Err(missing("the target was written before the promotion"));
        }
        let rehearsed = self.rehearsal(armed);
        let time = |index: usize| self.0[index].at;
        Ok(Issue {
            rehearsed: rehearsed.map(time),
            armed: time(armed),
            created: time(at),
            creation,
            filled: time(filled),
            verified: time(verified),
            promoted: time(promoted),
            delivered: time(delivered),
        })
    }

    /// When an attempt was armed, and when the provider carried out its create: for one whose answer is lost.
    pub(super) fn armed(&self, attempt: u64) -> Result<(Timestamp, Timestamp), SandboxError> {
        let created = self.find(0, |what| what.creates(attempt).map(drop));
        let armed = created.and_then(|(created, ())| {
            let armed = self.last_before(created, |what| *what == What::LedgerWritten)?;
            Some((self.0[armed].at, self.0[created].at))
        });
        armed.ok_or_else(|| {
            SandboxError::Untrue(format!(
                "attempt {attempt}: it was not armed before its create"
            ))
        })
    }

    /// The dry run that belongs to an attempt: after the create before it.
    fn rehearsal(&self, armed: usize) -> Option<usize> {
        let is_rehearsal_or_create =
            |what: &What| matches!(what, What::Rehearsed | What::Created(_));
        let last = self.last_before(armed, is_rehearsal_or_create)?;
        (self.0[last].what == What::Rehearsed).then_some(last)
    }

    /// The end of a credential; with a successor, not before that was proven once more.
    pub(super) fn revocation(
        &self,
        id: &str,
        successor: Option<&str>,
    ) -> Result<Revocation, SandboxError> {
        let missing = |step: &str| SandboxError::Untrue(format!("the end of {id}: {step}"));
        let (deleted, ()) = self
            .find(0, |what| {
                (*what == What::Deleted(id.to_owned())).then_some(())
            })
            .ok_or_else(|| missing("it was not deleted"))?;
        let marked = self
            .last_before(deleted, |what| *what == What::LedgerWritten)
            .ok_or_else(|| missing("it was not condemned before it was deleted"))?;
        let proven = successor.map(|successor| {
            self.last_before(marked, |what| {
                *what == What::Authenticated(successor.to_owned())
            })
            .ok_or_else(|| missing("its successor was not proven before it was condemned"))
        });
        let time = |index: usize| self.0[index].at;
        Ok(Revocation {
            proven: proven.transpose()?.map(time),
            marked: time(marked),
            deleted: time(deleted),
        })
    }

    /// When the target was deleted for the last time.
    pub(super) fn target_deleted(&self) -> Option<Timestamp> {
        self.last_before(self.0.len(), |what| *what == What::TargetDeleted)
            .map(|index| self.0[index].at)
    }

    fn find<T>(&self, from: usize, pick: impl Fn(&What) -> Option<T>) -> Option<(usize, T)> {
        let mut entries = self.0.iter().enumerate().skip(from);
        entries.find_map(|(index, entry)| Some((index, pick(&entry.what)?)))
    }

    fn next(&self, after: usize, is: impl Fn(&What) -> bool) -> Option<usize> {
        let found = self.find(after + 1, |what| is(what).then_some(()));
        found.map(|(index, ())| index)
    }

    fn last_before(&self, before: usize, is: impl Fn(&What) -> bool) -> Option<usize> {
        self.0[..before].iter().rposition(|entry| is(&entry.what))
    }
}

/// A write of the operator that succeeded, if it concerns the ledger or the target.
fn written(line: &AuditLine, (namespace, name): (&str, &str)) -> Option<Entry> {
    let object = line.object_ref.as_ref()?;
    let ok = line
        .response_status
        .as_ref()
        .is_some_and(|response| (200..300).contains(&response.code));
    let ours = line.user.username == format!("system:serviceaccount:{NAMESPACE}:{ACCOUNT}");
    if !ok || !ours || object.resource != "secrets" {
        return None;
    }
    let is_ledger = object.namespace == NAMESPACE && object.name.starts_with("ledger-");
    let is_target = object.namespace == namespace && object.name == name;
    let is_dry = line.request_uri.contains("dryRun=All");
    let what = match line.verb.as_str() {
        "create" if is_target && is_dry => What::Rehearsed,
        "create" | "update" | "patch" if is_target && !is_dry => What::TargetWritten,
        "delete" if is_target && !is_dry => What::TargetDeleted,
        "create" | "update" | "patch" if is_ledger && !is_dry => What::LedgerWritten,
        _ => return None,
    };
    Some(Entry {
        at: line.stage_timestamp,
        what,
    })
}

/// What a call did at the provider. Creates count even if their answer was lost.
fn called(entry: &AuditEntry) -> Option<Entry> {
    let what = match entry.op? {
        Operation::TokenCreate if entry.committed => What::Created(Creation {
            attempt: entry.attempt?,
            id: entry.id.clone()?,
            label: entry.label.clone()?,
            answered: entry.answered,
        }),
        Operation::TokenDelete if entry.committed => What::Deleted(entry.id.clone()?),
        Operation::AuthCheck => What::Authenticated(entry.caller.clone()?),
        _ => return None,
    };
    Some(Entry {
        at: entry.time,
        what,
    })
}

#[cfg(test)]
mod tests;
