//! What people see of a credential: built from the ledger and the plan, compared with what is there,
//! written if it differs. Times in it are times of facts, never of passes.

use std::{convert::Infallible, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{Context, Error, pass::Pass};
use crate::{
    api::{
        annotations,
        condition::{self, ConditionStatus, ConditionType, Finding, Reason},
        machine_token::{MachineToken, MachineTokenStatus},
        moment::Moment,
        status::{Credential, ExpiryBy, PastCredential, Retiring, SuspectedOrphan},
    },
    cluster::{ClusterError, answer},
    ledger::{
        ids::Generation,
        marker::{Marker, Nonce, OwnerDigits},
        record::Ledger,
    },
    plan::{
        Because, Blocked, Obstacle, Plan, Work, World, gates, schedule,
        world::{Resource, Task},
    },
    telemetry::events::Happening,
};

/// The verdict on one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `Ready=True`.
    pub ready: bool,
    /// Nothing will change until someone acts. Only if not ready.
    pub stalled: bool,
    /// Of the condition `Ready`.
    pub reason: Reason,
    /// Of the condition `Ready`.
    pub message: String,
    /// `RotationBlocked`, if it is.
    pub blocked: Option<String>,
}

/// Reads the verdict off a world and its plan.
pub fn verdict(world: &World, because: &Because) -> Verdict {
    let usable = world.is_delivered() && fits(world);
    match because {
        Because::Leaving(obstacle) => leaving(obstacle.as_ref()),
        Because::Blocked(obstacle) if is_hard(obstacle.reason) || !usable => no(obstacle),
        _ => match world
            .obstacle
            .as_ref()
            .filter(|obstacle| is_hard(obstacle.reason))
        {
            Some(obstacle) => no(obstacle),
            None if usable => in_use(because, world.obstacle.as_ref()),
            None => not_yet(world, because),
        },
    }
}

/// Whether what is in use is what the spec asks for.
fn fits(world: &World) -> bool {
    let current = world
        .ledger
        .as_ref()
        .and_then(|ledger| ledger.current.as_ref());
    let wanted = world.wish().and_then(|wish| wish.spec_hash.as_ref());
    wanted.is_none_or(|wanted| current.is_some_and(|current| current.origin.spec_hash == *wanted))
}

/// Reasons that make a resource not ready even while an older credential works: the spec as it stands
/// cannot be had.
const fn is_hard(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::SpecInvalid
            | Reason::NotAllowed
            | Reason::NamespaceNotGranted
            | Reason::TargetForeign
            | Reason::CapabilityMissing
            | Reason::StateRollback
    )
}

/// Reasons that do not go away by themselves.
const fn is_final(reason: Reason) -> bool {
    is_hard(reason)
        || matches!(
            reason,
            Reason::TargetRejected
                | Reason::ProviderRejected
                | Reason::VerifyFailed
                | Reason::BreakerOpen
                | Reason::AmbiguousCreate
                | Reason::Paused
        )
}

fn no(obstacle: &Obstacle) -> Verdict {
    Verdict {
        ready: false,
        stalled: is_final(obstacle.reason),
        reason: obstacle.reason,
        message: obstacle.message.clone(),
        blocked: None,
    }
}

fn leaving(obstacle: Option<&Obstacle>) -> Verdict {
    let message = obstacle.map_or_else(
        || "its credentials are being revoked".to_owned(),
        |obstacle| format!("{} ({})", obstacle.message, obstacle.reason.as_str()),
    );
    Verdict {
        ready: false,
        stalled: false,
        reason: Reason::Deleting,
        message,
        blocked: None,
    }
}

/// The target holds a verified credential; the rest is about its predecessor or its successor.
fn in_use(because: &Because, obstacle: Option<&Obstacle>) -> Verdict {
    let yes = |reason, message: String, blocked| Verdict {
        ready: true,
        stalled: false,
        reason,
        message,
        blocked,
    };
    let delivered = "the target Secret holds a verified credential";
    let waits = |obstacle: &Obstacle| {
        let (what, reason) = (&obstacle.message, obstacle.reason.as_str());
        format!("{delivered}; what comes next waits: {what} ({reason})")
    };
    match because {
        Because::Overlap(until) => {
            let until = Moment(*until);
            yes(
                Reason::Overlap,
                format!("{delivered}; the one before stays valid at least until {until}"),
                None,
            )
        }
        Because::GatesClosed(closed) => {
            let waits = format!(
                "the one before stays valid: {}",
                waiting_for(closed).join("; ")
            );
            yes(
                Reason::Overlap,
                format!("{delivered}; {waits}"),
                is_blocking(closed).then_some(waits),
            )
        }
        Because::Blocked(obstacle) if obstacle.reason == Reason::RotationBlocked => yes(
            Reason::Overlap,
            delivered.to_owned(),
            Some(obstacle.message.clone()),
        ),
        Because::Blocked(obstacle) => yes(Reason::Delivered, waits(obstacle), None),
        Because::Paused => yes(
            Reason::Delivered,
            format!("{delivered}; paused by annotation"),
            None,
        ),
        Because::Settled | Because::Working(_) | Because::Leaving(_) => {
            // A connection in trouble tells that itself; one that is missing has nowhere to tell it.
            let missing = obstacle.filter(|o| o.reason == Reason::ReferenceMissing);
            let message = missing.map_or_else(|| delivered.to_owned(), waits);
            yes(Reason::Delivered, message, None)
        }
    }
}

const fn is_blocking(closed: &Blocked) -> bool {
    matches!(closed, Blocked::Pods(_) | Blocked::PodsUnknown)
}

fn not_yet(world: &World, because: &Because) -> Verdict {
    let (reason, message) = match because {
        Because::Paused => (
            Reason::Paused,
            "paused by the annotation handover.dev/paused".to_owned(),
        ),
        Because::Working(Work::Verify) => {
            let wait = world.memory.waits.get(&Task::Verify);
            let wait = wait.map(|wait| wait.obstacle.message.clone());
            let why = wait.unwrap_or_else(|| "the stored credential is being verified".to_owned());
            (Reason::Verifying, why)
        }
        Because::Working(Work::Issue(cause)) => (
            Reason::Issuing,
            format!("a credential is being created ({})", cause.as_str()),
        ),
        _ => (
            Reason::Delivering,
            "the target Secret is being written".to_owned(),
        ),
    };
    Verdict {
        ready: false,
        stalled: is_final(reason),
        reason,
        message,
        blocked: None,
    }
}

/// What the retiring credential waits for, by name.
pub fn waiting_for(closed: &Blocked) -> Vec<String> {
    match closed {
        Blocked::Idle => Vec::new(),
        Blocked::Overlap(until) => vec![format!("the overlap ends at {}", Moment(*until))],
        Blocked::NotDistributed => vec!["the new credential is not in the target yet".to_owned()],
        Blocked::NotInspected | Blocked::NotProven => {
            vec!["the credential in use is proven once more".to_owned()]
        }
        Blocked::PodsUnknown => {
            vec!["Pods may not be listed; grant it (rbac.pods of the chart) or set rotation.waitFor: []".to_owned()]
        }
        Blocked::Pods(names) => {
            let shown = names
                .iter()
                .take(8)
                .map(|name| format!("Pod {} has the old value until it is replaced", cut(name)));
            let more = names.len().saturating_sub(8);
            shown
                .chain((more > 0).then(|| format!("and {more} more Pods")))
                .collect()
        }
    }
}

/// The beginning of a Pod's name: an item of status has 256 characters, a name up to 253.
fn cut(name: &str) -> &str {
    name.get(..200).unwrap_or(name)
}

/// The status of a token after a pass; conditions that `before` had keep their times.
fn build(
    token: &MachineToken,
    before: Option<&MachineTokenStatus>,
    pass: &Pass,
    plan: &Plan,
    ctx: &Context,
) -> MachineTokenStatus {
    let (world, now) = (&pass.world, ctx.clock.now());
    let before = before.map_or(&[][..], |before| &before.conditions);
    let verdict = verdict(world, &plan.because);
    let annotation = |name: &str| token.annotations().get(name).cloned();
    let ledger = world.ledger.as_ref();
    let marker = |generation, nonce: Option<&Nonce>| label(world, generation, nonce, ctx);
    let reference = &token.spec.connection_ref;
    MachineTokenStatus {
        conditions: conditions(before, findings(token, unresolved(world), &verdict), now),
        observed_generation: token.metadata.generation,
        connection: Some(format!("{}/{}", reference.kind().as_str(), reference.name)),
        secret: Some(pass.target_name()),
        credential: ledger.and_then(|ledger| credential(ledger, world, &marker, now)),
        rotations: ledger.map(|ledger| i64::try_from(ledger.rotations).unwrap_or(i64::MAX)),
        history: ledger.map(history).filter(|history| !history.is_empty()),
        retiring: ledger.and_then(|ledger| retiring(ledger, world, &plan.because, now)),
        suspected_orphans: ledger
            .map(|l| orphans(l, &marker))
            .filter(|list| !list.is_empty()),
        last_handled_reconcile_at: annotation(annotations::RECONCILE_REQUESTED_AT),
        last_handled_rotate_at: handled(token, ledger),
    }
}

/// The annotation's own text once its request was carried out.
fn handled(token: &MachineToken, ledger: Option<&Ledger>) -> Option<String> {
    let last = ledger?.last_rotate_at?;
    let text = token.annotations().get(annotations::ROTATE_REQUESTED_AT);
    let same = text.filter(|text| text.parse::<Timestamp>().is_ok_and(|at| at == last));
    Some(same.cloned().unwrap_or_else(|| last.to_string()))
}

/// After this time a pass is slow.
const SLOW: Duration = Duration::from_secs(5);

fn unresolved(world: &World) -> usize {
    world
        .ledger
        .as_ref()
        .map_or(0, |ledger| ledger.abandoned.len())
}

/// The conditions that hold, and `Ready` in any case.
fn findings(token: &MachineToken, open: usize, verdict: &Verdict) -> Vec<Finding> {
    let find = |about, holds: bool, reason, message: &str| Finding {
        about,
        status: if holds {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        },
        reason,
        message: message.to_owned(),
        generation: token.metadata.generation,
    };
    let Verdict {
        ready,
        stalled,
        reason,
        message,
        blocked,
    } = verdict;
    let mut findings = vec![find(ConditionType::Ready, *ready, *reason, message)];
    if !ready {
        let about = if *stalled {
            ConditionType::Stalled
        } else {
            ConditionType::Reconciling
        };
        findings.push(find(about, true, *reason, message));
    }
    if let Some(blocked) = blocked {
        let about = ConditionType::RotationBlocked;
        findings.push(find(about, true, Reason::RotationBlocked, blocked));
    }
    if open > 0 {
        let message = format!(
            "{open} creates have an unknown outcome (status.suspectedOrphans): look for their labels at the provider, \
             delete what is there, then name the attempts in the annotation {}",
            annotations::RESOLVED_ATTEMPTS
        );
        let about = ConditionType::AmbiguousCreate;
        findings.push(find(about, true, Reason::AmbiguousCreate, &message));
    }
    findings
}

fn conditions(before: &[Condition], findings: Vec<Finding>, now: Timestamp) -> Vec<Condition> {
    let mut conditions = before.to_vec();
    for about in ConditionType::ALL {
        if findings.iter().all(|finding| finding.about != about) {
            condition::clear(&mut conditions, about);
        }
    }
    for finding in findings {
        condition::set(&mut conditions, finding, now);
    }
    conditions
}

/// What the pass comes to: for metrics, and as an Event where someone should look and did not know yet.
pub fn judge(pass: &mut Pass, plan: &Plan, ctx: &Context) {
    let Some(token) = pass.token.clone() else {
        return;
    };
    let verdict = verdict(&pass.world, &plan.because);
    let findings = findings(&token, unresolved(&pass.world), &verdict);
    let before = ctx
        .token_status
        .latest(&token.metadata, token.status.as_ref());
    let known = |about: ConditionType, reason: Reason| {
        let conditions = before.iter().flat_map(|status| &status.conditions);
        let mut same = conditions.filter(|known| known.type_ == about.as_str());
        same.any(|known| known.reason == reason.as_str())
    };
    let news = findings
        .iter()
        .filter(|finding| !known(finding.about, finding.reason));
    let news = news.filter(|finding| {
        !matches!(
            finding.about,
            ConditionType::Reconciling | ConditionType::Stalled
        )
    });
    let warnings: Vec<_> = news
        .filter_map(|finding| Some((warning(finding.reason)?, finding.message.clone())))
        .collect();
    pass.happened.extend(warnings);
    pass.shown = findings.iter().map(Into::into).collect();
}

/// The Event of a reason, where its appearance is one. What an effect tells by itself has none here.
const fn warning(reason: Reason) -> Option<Happening> {
    match reason {
        Reason::TargetDamaged => Some(Happening::TargetDamaged),
        Reason::TargetForeign => Some(Happening::TargetForeign),
        Reason::TargetRejected => Some(Happening::TargetRejected),
        Reason::RotationBlocked => Some(Happening::RotationBlocked),
        Reason::NotAllowed => Some(Happening::NotAllowed),
        Reason::BudgetExhausted => Some(Happening::BudgetExhausted),
        Reason::NamespaceNotGranted => Some(Happening::NamespaceNotGranted),
        _ => None,
    }
}

fn label(world: &World, generation: Generation, nonce: Option<&Nonce>, ctx: &Context) -> String {
    let owner = OwnerDigits::of_uid(&world.owner.uid);
    let marker = owner.ok().zip(nonce).map(|(owner, nonce)| Marker {
        instance: ctx.instance.id.clone(),
        owner,
        generation,
        nonce: nonce.clone(),
    });
    marker.map(|marker| marker.to_string()).unwrap_or_default()
}

fn credential(
    ledger: &Ledger,
    world: &World,
    marker: &dyn Fn(Generation, Option<&Nonce>) -> String,
    now: Timestamp,
) -> Option<Credential> {
    let current = ledger.current.as_ref()?;
    let origin = &current.origin;
    let next = schedule::next(world, now).filter(|due| due.at > Timestamp::MIN);
    Some(Credential {
        id: origin.id.to_string(),
        label: marker(origin.generation, origin.nonce.as_ref()),
        attempt: number(origin.generation.0),
        epoch: number(ledger.epoch.0),
        cause: origin.cause,
        previous_id: current.previous_id.as_ref().map(ToString::to_string),
        proof: current.proof,
        issued_at: Moment(origin.at),
        expires_at: origin.expires_at.map(Moment),
        expiry_by: origin.expires_at.map(|_| ExpiryBy::Handover),
        next_rotation: next.map(|due| Moment(due.at)),
    })
}

fn history(ledger: &Ledger) -> Vec<PastCredential> {
    let past = ledger.history.iter().map(|past| PastCredential {
        id: past.id.to_string(),
        issued_at: Moment(past.issued_at),
        cause: past.cause,
        revoked_at: Moment(past.revoked_at),
    });
    past.collect()
}

fn retiring(
    ledger: &Ledger,
    world: &World,
    because: &Because,
    now: Timestamp,
) -> Option<Vec<Retiring>> {
    let retiring = ledger.retiring.as_ref()?;
    let closed = match because {
        Because::GatesClosed(closed) => Some(closed.clone()),
        _ => gates::open(world, now).err(),
    };
    Some(vec![Retiring {
        id: retiring.origin.id.to_string(),
        since: Moment(retiring.since),
        revoke_after: gates::overlap_end(world, retiring).map(Moment),
        waiting_for: closed.map(|closed| waiting_for(&closed)),
    }])
}

fn orphans(
    ledger: &Ledger,
    marker: &dyn Fn(Generation, Option<&Nonce>) -> String,
) -> Vec<SuspectedOrphan> {
    let orphans = ledger.abandoned.iter().map(|abandoned| SuspectedOrphan {
        attempt: number(abandoned.generation.0),
        kind: ledger.owner.kind.as_str().to_owned(),
        label: marker(abandoned.generation, Some(&abandoned.nonce)),
        at: Moment(abandoned.at),
    });
    orphans.collect()
}

fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Writes the status of a token, if it differs from what the watch showed.
pub async fn report(pass: &Pass, plan: &Plan, ctx: &Context) -> Result<(), Error> {
    let Some(token) = pass
        .token
        .as_ref()
        .filter(|_| !matches!(pass.world.resource, Resource::Gone))
    else {
        return Ok(());
    };
    let before = ctx
        .token_status
        .latest(&token.metadata, token.status.as_ref());
    let status = build(token, before.as_ref(), pass, plan, ctx);
    if before.as_ref().is_some_and(|before| same(before, &status)) {
        return Ok(());
    }
    let owner = || pass.owner().to_string();
    write(token, before.as_ref(), status, ctx)
        .await
        .map_err(|source| Error::WriteStatus {
            owner: owner(),
            source,
        })
}

/// A resource that is not ready and whose pass takes long says so meanwhile: the first write should tell
/// the outcome, but nobody should wait for it in the dark. Never ends.
pub async fn report_slowness(token: &MachineToken, ctx: &Context) -> Infallible {
    tokio::time::sleep(SLOW).await;
    report_unfinished(
        token,
        Reason::Issuing,
        "work on this resource is under way",
        ctx,
    )
    .await;
    std::future::pending().await
}

/// What a resource that is not ready shows when a pass did not come to its end. The pass, or the next
/// one, reports what it really comes to: a failure of this write is of no importance.
pub async fn report_unfinished(token: &MachineToken, reason: Reason, message: &str, ctx: &Context) {
    let latest = ctx
        .token_status
        .latest(&token.metadata, token.status.as_ref());
    let before = latest.unwrap_or_default();
    let ready = |c: &Condition| c.type_ == ConditionType::Ready.as_str() && c.status == "True";
    if !before.conditions.iter().any(ready) {
        write_unfinished(token, reason, message, ctx).await;
    }
}

/// What a resource shows whose pass failed while its target was not what it should be: `Ready` must not
/// stay beside that.
pub async fn report_damage(token: &MachineToken, message: &str, ctx: &Context) {
    write_unfinished(token, Reason::Pending, message, ctx).await;
}

async fn write_unfinished(token: &MachineToken, reason: Reason, message: &str, ctx: &Context) {
    let latest = ctx
        .token_status
        .latest(&token.metadata, token.status.as_ref());
    let before = latest.clone().unwrap_or_default();
    let message = message.to_owned();
    let verdict = Verdict {
        ready: false,
        stalled: false,
        reason,
        message,
        blocked: None,
    };
    let orphans = before.suspected_orphans.as_ref().map_or(0, Vec::len);
    let findings = findings(token, orphans, &verdict);
    let status = MachineTokenStatus {
        conditions: conditions(&before.conditions, findings, ctx.clock.now()),
        observed_generation: token.metadata.generation,
        ..before
    };
    if !latest.as_ref().is_some_and(|latest| same(latest, &status)) {
        let _ = write(token, latest.as_ref(), status, ctx).await;
    }
}

async fn write(
    token: &MachineToken,
    before: Option<&MachineTokenStatus>,
    status: MachineTokenStatus,
    ctx: &Context,
) -> Result<(), ClusterError> {
    let namespace = token.namespace().unwrap_or_default();
    let tokens: Api<MachineToken> = Api::namespaced(ctx.client.0.clone(), &namespace);
    let body = Patch::Merge(patch(&status, before));
    let (name, params) = (token.name_any(), PatchParams::default());
    match answer(tokens.patch_status(&name, &params, &body)).await {
        Ok(stored) => {
            ctx.token_status.keep(&stored.metadata, status);
            Ok(())
        }
        Err(ClusterError::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Equal as the API shows them: times have whole seconds there.
fn same<T: serde::Serialize>(before: &T, after: &T) -> bool {
    serde_json::to_value(before).ok() == serde_json::to_value(after).ok()
}

/// A merge patch that also removes what is no longer there.
pub fn patch<T: serde::Serialize>(status: &T, before: Option<&T>) -> Value {
    let mut next = serde_json::to_value(status).unwrap_or_default();
    let before = before
        .and_then(|before| serde_json::to_value(before).ok())
        .unwrap_or_default();
    remove_absent(&mut next, &before);
    json!({ "status": next })
}

fn remove_absent(next: &mut Value, before: &Value) {
    let (Some(next), Some(before)) = (next.as_object_mut(), before.as_object()) else {
        return;
    };
    for (key, old) in before {
        match next.get_mut(key) {
            Some(value) => remove_absent(value, old),
            None => {
                next.insert(key.clone(), Value::Null);
            }
        }
    }
}

#[cfg(test)]
mod tests;
