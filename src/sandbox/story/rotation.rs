//! Chapter 2: the new token first, the old one last.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use super::tell_issue;
use crate::sandbox::{
    SandboxError,
    error::hold,
    journal::Issue,
    narrator::{Narrator, short},
    stage::{Stage, TOKEN},
};

const WHY: &[&str] = &[
    "Nobody can exchange a value in all places at once. So the new token is made, proven and delivered",
    "while the old one still works. The old one is revoked only when the overlap is over, no Pod can",
    "still hold it, and the new one was proven once more: what cannot be taken back comes last.",
];

/// A Pod that reads the token once, when it starts.
const POD: &str = "nightly";

/// The id of the new token.
pub(super) async fn tell(stage: &mut Stage, old: &str) -> Result<String, SandboxError> {
    let narrator = stage.narrator.clone();
    narrator.chapter("2. The token is rotated while it is in use", WHY);
    start_pod(stage).await?;
    narrator.step(
        "started",
        format_args!(
            "Pod {POD} starts, with {} in its environment, which never changes",
            short(old)
        ),
    );
    narrator.more("(there is no kubelet here: the sandbox writes the status of that Pod)");
    stage.request_rotation().await?;
    narrator.step(
        "asked",
        "the team annotates it: handover.dev/rotate-requested-at",
    );
    let issue = follow_issue(stage, old, 2).await?;
    let new = issue.creation.id.clone();
    follow_overlap(stage, &narrator, old, &issue).await?;
    let ended = follow_pod(stage, &narrator, old).await?;
    let revoked = follow_revocation(stage, &narrator, old, &new).await?;
    hold(
        ended < revoked,
        format!("{old} was revoked while Pod {POD} ran"),
    )?;
    let overlap = stage.scaled(5);
    hold(
        revoked.duration_since(issue.delivered) >= overlap,
        format!("{old} was revoked before the overlap was over"),
    )?;
    stage.nobody_was_refused()?;
    Ok(new)
}

/// From the arming of an attempt to its delivery.
pub(super) async fn follow_issue(
    stage: &mut Stage,
    old: &str,
    attempt: u64,
) -> Result<Issue, SandboxError> {
    let what = "another token is delivered";
    stage
        .until(what, async |stage: &Stage| {
            let delivered = stage.delivered().await?;
            Ok(delivered.filter(|(id, _)| id != old).map(drop))
        })
        .await?;
    let issue = stage.journaled(|journal| journal.issue(attempt)).await?;
    tell_issue(&stage.narrator, &issue);
    Ok(issue)
}

/// Both tokens work, and the consumer changes over.
async fn follow_overlap(
    stage: &mut Stage,
    narrator: &Narrator,
    old: &str,
    issue: &Issue,
) -> Result<(), SandboxError> {
    let new = &issue.creation.id;
    both_work(stage, old, new)?;
    narrator.step(
        "overlap",
        format_args!(
            "both tokens work, for {:#} at least (overlap: 5m)",
            stage.scaled(5)
        ),
    );
    stage
        .until("the consumer uses the new token", async |stage: &Stage| {
            Ok(stage.consumer_holds(new).then_some(()))
        })
        .await?;
    both_work(stage, old, new)?;
    narrator.step("switched", format_args!("the consumer uses {}", short(new)));
    Ok(())
}

/// The overlap is over, and the old token lives on for the Pod that may hold it; then the Pod ends.
async fn follow_pod(
    stage: &mut Stage,
    narrator: &Narrator,
    old: &str,
) -> Result<Timestamp, SandboxError> {
    let waiting = stage
        .until("the old token waits for a Pod", async |stage: &Stage| {
            let retiring = stage.status().await?.retiring.unwrap_or_default();
            let waits = retiring.into_iter().filter(|one| one.id == old);
            let mut texts = waits.flat_map(|one| one.waiting_for.unwrap_or_default());
            Ok(texts.find(|text| text.contains(POD)))
        })
        .await?;
    narrator.step(
        "waiting",
        format_args!("the overlap is over, and {} still works", short(old)),
    );
    narrator.more(format_args!("status.retiring: {waiting}"));
    let ended = narrator.now();
    let works = stage
        .provider
        .truth(old)
        .is_some_and(|one| one.authenticates);
    hold(works, format!("{old} was revoked while Pod {POD} ran"))?;
    report(stage, json!({"phase": "Succeeded"})).await?;
    narrator.step(
        "ended",
        format_args!(
            "Pod {POD} has done its work: nobody holds {} any more",
            short(old)
        ),
    );
    Ok(ended)
}

/// Until the provider and the status agree that the old token is gone. Says when it went.
pub(super) async fn follow_revocation(
    stage: &mut Stage,
    narrator: &Narrator,
    old: &str,
    new: &str,
) -> Result<Timestamp, SandboxError> {
    stage
        .until("the old token is revoked", async |stage: &Stage| {
            let history = stage.status().await?.history.unwrap_or_default();
            Ok(history.iter().any(|past| past.id == old).then_some(()))
        })
        .await?;
    let end = stage
        .journaled(|journal| journal.revocation(old, Some(new)))
        .await?;
    if let Some(at) = end.proven {
        narrator.step_at(
            at,
            "proven",
            format_args!(
                "{} authenticates once more, before anything is destroyed",
                short(new)
            ),
        );
    }
    narrator.step_at(
        end.marked,
        "condemned",
        format_args!("the ledger gives {} up for good", short(old)),
    );
    narrator.step_at(
        end.deleted,
        "revoked",
        format_args!("Errova deletes {}", short(old)),
    );
    let works = |id| {
        stage
            .provider
            .truth(id)
            .is_some_and(|one| one.authenticates)
    };
    hold(!works(old), format!("{old} works though it was revoked"))?;
    hold(works(new), format!("{new} does not work"))?;
    Ok(end.deleted)
}

fn both_work(stage: &Stage, old: &str, new: &str) -> Result<(), SandboxError> {
    for id in [old, new] {
        let works = stage
            .provider
            .truth(id)
            .is_some_and(|one| one.authenticates);
        hold(works, format!("{id} does not work during the overlap"))?;
    }
    Ok(())
}

/// A Pod with the token in its environment, running as far as anybody can tell.
async fn start_pod(stage: &Stage) -> Result<(), SandboxError> {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": POD},
        "spec": {
            "containers": [{
                "name": "job",
                "image": "busybox:1.37",
                "envFrom": [{"secretRef": {"name": TOKEN}}],
            }],
        },
    }))
    .map_err(|error| SandboxError::Untrue(format!("Pod {POD} is no Pod: {error}")))?;
    let created = stage.pods.create(&PostParams::default(), &pod).await;
    created.map_err(SandboxError::kubernetes("create a Pod"))?;
    let started = stage.narrator.now().to_string();
    report(stage, json!({"phase": "Running", "startTime": started})).await
}

/// What a kubelet would write.
async fn report(stage: &Stage, status: serde_json::Value) -> Result<(), SandboxError> {
    let patch = Patch::Merge(json!({"status": status}));
    let patched = stage
        .pods
        .patch_status(POD, &PatchParams::default(), &patch)
        .await;
    patched
        .map(drop)
        .map_err(SandboxError::kubernetes("write the status of a Pod"))
}
