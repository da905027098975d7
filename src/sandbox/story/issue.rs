//! Chapter 1: from a manifest to a Secret that works.

use super::tell_issue;
use crate::sandbox::{
    SandboxError,
    consumer::Consumer,
    error::hold,
    installation,
    stage::{Stage, TOKEN, is_true},
};

const WHY: &[&str] = &[
    "Errova shows the value of a token once, in the answer to its create. Whoever loses that answer",
    "has lost the value. So Handover writes down what it is about to do before it does it, and stores",
    "what it got before anybody uses it: in the ledger, a Secret of its own namespace. A crash between",
    "any two steps does nothing twice, and loses no token that is in use.",
];

/// The id of the token that was issued.
pub(super) async fn tell(stage: &mut Stage) -> Result<String, SandboxError> {
    let narrator = stage.narrator.clone();
    narrator.chapter("1. A token is issued", WHY);
    hold(stage.target().await?.is_none(), "the target exists already")?;
    hold(stage.provider.live().is_empty(), "a token exists already")?;
    narrator.step(
        "asked",
        "the team applies machinetoken web/ci-deploy; there is no Secret of that name yet",
    );
    installation::apply_example(&stage.plane, "3-token").await?;
    installation::apply_example(&stage.plane, "4-consumer").await?;
    let credential = stage
        .until("the token is ready", async |stage: &Stage| {
            let status = stage.status().await?;
            Ok(status
                .credential
                .clone()
                .filter(|_| is_true(&status, "Ready")))
        })
        .await?;
    let issue = stage.journaled(|journal| journal.issue(1)).await?;
    hold(issue.rehearsed.is_some(), "the target was not rehearsed")?;
    tell_issue(&narrator, &issue);
    hold(
        credential.id == issue.creation.id,
        "the status names another token than the provider made",
    )?;
    check_delivery(stage, &credential.id).await?;
    narrator.step(
        "checked",
        "the value in the Secret authenticates, and no other token works",
    );
    narrator.more(format_args!(
        "its label at Errova: {}",
        issue.creation.label
    ));
    narrator.more("(installation : resource : attempt : random digits, and a name for people)");
    start_consumer(stage, &credential.id).await?;
    Ok(credential.id)
}

/// The target holds this token, it authenticates, and it is the only one.
async fn check_delivery(stage: &Stage, id: &str) -> Result<(), SandboxError> {
    let delivered = stage.delivered().await?;
    let (held, value) =
        delivered.ok_or_else(|| SandboxError::Untrue("the target holds no value".to_owned()))?;
    hold(held == id, "the target holds another token")?;
    let accepted = stage.provider.authenticates(&value).await?;
    hold(accepted, "the value in the target does not authenticate")?;
    let live = stage.provider.live();
    hold(
        live.len() == 1 && live.iter().all(|one| one.id == id),
        format!("{} tokens work, not one", live.len()),
    )
}

async fn start_consumer(stage: &mut Stage, id: &str) -> Result<(), SandboxError> {
    let consumer = Consumer::start(stage.secrets.clone(), TOKEN, stage.provider.clone());
    stage.consumer = Some(consumer);
    stage
        .until("the consumer uses the token", async |stage: &Stage| {
            Ok(stage.consumer_holds(id).then_some(()))
        })
        .await?;
    stage.narrator.step(
        "used",
        "a consumer loads the Secret every second, and authenticates 40 times a second",
    );
    stage.nobody_was_refused()
}
