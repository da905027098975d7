//! Chapter 4: the resource goes, and the token with it.

use kube::api::DeleteParams;

use super::Summary;
use crate::sandbox::{
    SandboxError,
    error::hold,
    narrator::short,
    stage::{Stage, TOKEN},
};

const WHY: &[&str] = &[
    "Whoever deletes the resource wants the token dead, not forgotten. So the resource stays, held by a",
    "finalizer, until the token is revoked and the Secret is gone.",
];

/// What the whole story came to.
pub(super) async fn tell(stage: &mut Stage, current: &str) -> Result<Summary, SandboxError> {
    let narrator = stage.narrator.clone();
    narrator.chapter("4. The resource is deleted", WHY);
    let rotations = stage.status().await?.rotations.unwrap_or_default();
    stage.nobody_was_refused()?;
    let tally = stage.consumer.take().map(|consumer| consumer.tally());
    let tally = tally.unwrap_or_default();
    narrator.step("stopped", "the consumer has done its work");
    let deleted = stage.tokens.delete(TOKEN, &DeleteParams::default()).await;
    deleted.map_err(SandboxError::kubernetes("delete the machine token"))?;
    narrator.step("asked", "the team deletes machinetoken web/ci-deploy");
    stage
        .until("the resource is gone", async |stage: &Stage| {
            Ok(stage.token().await?.is_none().then_some(()))
        })
        .await?;
    let gone = narrator.now();
    follow_end(stage, current).await?;
    narrator.step_at(gone, "gone", "machinetoken web/ci-deploy");
    let left = stage.provider.live().len();
    hold(left == 0, format!("{left} tokens still work"))?;
    hold(stage.target().await?.is_none(), "the Secret is still there")?;
    Ok(Summary {
        rotations,
        ticks: tally.ticks,
        refused: tally.refused,
        created: stage.journal()?.created(),
        left,
    })
}

async fn follow_end(stage: &Stage, current: &str) -> Result<(), SandboxError> {
    let narrator = &stage.narrator;
    let end = stage
        .journaled(|journal| journal.revocation(current, None))
        .await?;
    let target = stage
        .journaled(|journal| {
            let deleted = journal.target_deleted();
            deleted.ok_or_else(|| SandboxError::Untrue("the Secret was not deleted".to_owned()))
        })
        .await?;
    narrator.step_at(
        end.marked,
        "condemned",
        format_args!("the ledger gives {} up for good", short(current)),
    );
    let mut steps = [
        (
            end.deleted,
            "revoked",
            format!("Errova deletes {}", short(current)),
        ),
        (target, "removed", "Secret web/ci-deploy".to_owned()),
    ];
    steps.sort_by_key(|(at, ..)| *at);
    for (at, word, text) in steps {
        narrator.step_at(at, word, text);
    }
    Ok(())
}
