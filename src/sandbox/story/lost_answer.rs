//! Chapter 3: the answer to a create is lost.

use super::rotation::{follow_issue, follow_revocation};
use crate::{
    api::annotations,
    sandbox::{
        SandboxError,
        error::hold,
        journal::Creation,
        narrator::short,
        stage::{Stage, is_true},
    },
    simulator::{Fault, FaultOrder, Operation},
};

const WHY: &[&str] = &[
    "Errova has no list of tokens: if the connection breaks after a create was sent, nobody can tell",
    "whether a token was made, and to send it again could make a second one. So every attempt is sent",
    "once. Its unknown fate is reported, and a new attempt under another label follows; but with more",
    "than maxUnresolved of them open (default 1), Handover stops issuing and waits for a person.",
];

/// The attempt whose answer is lost: the third of this token.
const LOST: u64 = 3;

/// The id of the new token.
pub(super) async fn tell(stage: &mut Stage, old: &str) -> Result<String, SandboxError> {
    let narrator = stage.narrator.clone();
    narrator.chapter("3. The answer to a create is lost", WHY);
    let lose = FaultOrder::on(Operation::TokenCreate, [Fault::LoseResponse]).nth(1);
    stage.provider.simulator().order_fault(lose);
    narrator.step(
        "fault",
        "the simulator will carry out the next create and cut the connection",
    );
    stage.request_rotation().await?;
    narrator.step("asked", "the team asks for another rotation");
    let orphan = follow_loss(stage, old).await?;
    let issue = follow_issue(stage, old, LOST + 1).await?;
    let new = issue.creation.id.clone();
    hold(
        stage.journal()?.creations(LOST).len() == 1,
        "the create whose answer was lost was sent again",
    )?;
    narrator.more(format_args!(
        "(attempt {LOST} was sent once, and never again)"
    ));
    follow_revocation(stage, &narrator, old, &new).await?;
    settle(stage, &orphan).await?;
    stage.nobody_was_refused()?;
    Ok(new)
}

/// Until it is reported. The id of the token that nobody knows.
async fn follow_loss(stage: &mut Stage, old: &str) -> Result<String, SandboxError> {
    let label = stage
        .until("the lost answer is reported", async |stage: &Stage| {
            let status = stage.status().await?;
            let suspected = status.suspected_orphans.clone().unwrap_or_default();
            let ours = suspected
                .into_iter()
                .find(|one| u64::try_from(one.attempt) == Ok(LOST));
            Ok(ours
                .filter(|_| is_true(&status, "AmbiguousCreate"))
                .map(|one| one.label))
        })
        .await?;
    let creation = stage
        .journaled(|journal| {
            let found = journal.creations(LOST).first().copied().cloned();
            found.ok_or_else(|| SandboxError::Untrue("the create was not carried out".to_owned()))
        })
        .await?;
    hold(!creation.answered, "the answer was not lost")?;
    hold(
        creation.label.starts_with(&label),
        "the status shows another label than the provider",
    )?;
    let works = |id: &str| {
        stage
            .provider
            .truth(id)
            .is_some_and(|one| one.authenticates)
    };
    hold(works(&creation.id), "the provider made no token")?;
    hold(works(old), format!("{old} does not work any more"))?;
    tell_loss(stage, &creation, (&label, old)).await
}

async fn tell_loss(
    stage: &Stage,
    creation: &Creation,
    (label, old): (&str, &str),
) -> Result<String, SandboxError> {
    let narrator = &stage.narrator;
    let (armed, lost) = stage.journaled(|journal| journal.armed(LOST)).await?;
    narrator.step_at(
        armed,
        "armed",
        format_args!("the ledger records attempt {LOST} before its create is sent"),
    );
    narrator.step_at(
        lost,
        "lost",
        format_args!(
            "Errova made {}, and nobody was told its value",
            short(&creation.id)
        ),
    );
    narrator.step("reported", "by the condition AmbiguousCreate");
    narrator.more(format_args!(
        "status.suspectedOrphans: attempt {LOST}, label {label}"
    ));
    narrator.step(
        "unharmed",
        format_args!("{} stays delivered and works", short(old)),
    );
    Ok(creation.id.clone())
}

/// A person looks for the label at the provider, deletes the token, and says so.
async fn settle(stage: &mut Stage, orphan: &str) -> Result<(), SandboxError> {
    let narrator = stage.narrator.clone();
    stage.provider.delete(orphan).await?;
    narrator.step(
        "cleaned",
        format_args!(
            "a person finds that label at Errova and deletes {}",
            short(orphan)
        ),
    );
    narrator.more("(the sandbox plays the person)");
    stage
        .annotate(annotations::RESOLVED_ATTEMPTS, &LOST.to_string())
        .await?;
    stage
        .until("the attempt is settled", async |stage: &Stage| {
            let status = stage.status().await?;
            let open = is_true(&status, "AmbiguousCreate") || status.suspected_orphans.is_some();
            Ok((!open).then_some(()))
        })
        .await?;
    narrator.step(
        "settled",
        format_args!("by the annotation handover.dev/resolved-attempts: \"{LOST}\""),
    );
    Ok(())
}
