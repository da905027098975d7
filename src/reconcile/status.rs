//! What people see of a credential, built from the ledger and the plan. Times in it are times of facts,
//! never of passes.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;

use super::{
    Context,
    pass::Pass,
    verdict::{Verdict, verdict, waiting_for},
};
use crate::{
    api::{
        annotations,
        condition::{self, ConditionStatus, ConditionType, Finding, Reason},
        machine_token::{MachineToken, MachineTokenStatus},
        moment::Moment,
        status::{Credential, ExpiryBy, PastCredential, Retiring, SuspectedOrphan},
    },
    ledger::{
        ids::Generation,
        marker::{Marker, Nonce, OwnerDigits},
        record::Ledger,
        store::attempts,
    },
    plan::{Because, Plan, SETTLE, World, gates, schedule, unknown_outcomes},
    telemetry::events::Happening,
};

/// The status of a token after a pass; conditions that `before` had keep their times.
pub(super) fn build(
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

fn unresolved(world: &World) -> usize {
    world
        .ledger
        .as_ref()
        .map_or(0, |ledger| ledger.abandoned.len())
}

/// Annotations that ask for something, but cannot be read: else their author would wait for ever.
fn unreadable(token: &MachineToken) -> impl Iterator<Item = String> {
    let is_time = |text: &String| text.parse::<Timestamp>().is_ok();
    let is_list = |text: &String| !attempts(text).is_empty();
    let written = |name| token.annotations().get(name);
    let (rotate, resolved) = (
        annotations::ROTATE_REQUESTED_AT,
        annotations::RESOLVED_ATTEMPTS,
    );
    let time = written(rotate).filter(|text| !is_time(text));
    let list = written(resolved).filter(|text| !is_list(text));
    let told = |name, form| format!("the annotation {name} cannot be read: write {form}");
    let time = time.map(|_| told(rotate, "a time, such as 2026-01-15T03:00:00Z"));
    let list = list.map(|_| told(resolved, "numbers of attempts, such as \"3,4\""));
    time.into_iter().chain(list)
}

/// The conditions that hold, and `Ready` in any case.
pub(super) fn findings(token: &MachineToken, open: usize, verdict: &Verdict) -> Vec<Finding> {
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
    let message = &[message.clone()]
        .into_iter()
        .chain(unreadable(token))
        .collect::<Vec<_>>()
        .join("; ");
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
        let message = format!("{}: {SETTLE}", unknown_outcomes(open));
        let about = ConditionType::AmbiguousCreate;
        findings.push(find(about, true, Reason::AmbiguousCreate, &message));
    }
    findings
}

pub(super) fn conditions(
    before: &[Condition],
    findings: Vec<Finding>,
    now: Timestamp,
) -> Vec<Condition> {
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
