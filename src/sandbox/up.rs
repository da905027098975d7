//! `handover-sandbox up`: everything on this machine, and the story.
//!
//! # Expected flow
//! Binaries, control plane, simulator, the chart, the operator as a process of its own, the story; then
//! either the end (`--once`), or a world to play with until ctrl-C.
//!
//! # Guarantees
//! Everything listens on 127.0.0.1 and ends with this process; the folder goes too, unless it is asked
//! for or something failed.

use std::{path::PathBuf, pin::pin, sync::Arc};

use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    SandboxError,
    assets::{Assets, Tool},
    control_plane::{ADMIN, ControlPlane, Options as PlaneOptions},
    error::hold,
    installation,
    narrator::{Narrator, say},
    operator::{self, Operator},
    progress::Progress,
    provider::Provider,
    settings::Settings,
    stage::Stage,
    story::{self, Summary},
};
use crate::{api::condition::ConditionType, clock::Clock};

/// What `up` is told.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether to end with the story.
    pub once: bool,
    /// Whether the folder stays.
    pub keep: bool,
    /// How much shorter durations are: 1 to 60.
    pub time_scale: u32,
}

/// Tells the story, and stays up unless told otherwise. Ctrl-C before the end of the story is an error.
pub async fn up(options: Options) -> Result<(), SandboxError> {
    // One for all of it: a ctrl-C between two parts is not lost.
    let mut stop_asked = pin!(interrupted());
    let mut stage = tokio::select! {
        stage = set_up(options) => stage?,
        asked = &mut stop_asked => return asked.and(Err(SandboxError::Interrupted)),
    };
    let told = tokio::select! {
        told = tell(&mut stage) => told,
        asked = &mut stop_asked => asked.and(Err(SandboxError::Interrupted)),
    };
    if let Err(error) = told {
        return Err(keep(stage, error));
    }
    if !options.once {
        show_around(&stage).await?;
        stop_asked.await?;
    }
    stop(stage).await
}

/// SIGINT or SIGTERM.
pub(super) async fn interrupted() -> Result<(), SandboxError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(SandboxError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(SandboxError::Signals)?;
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

/// Eight random bytes. A system without any makes the same ids each time, which does no harm here.
pub(super) fn entropy() -> u64 {
    let mut bytes = [0; 8];
    _ = SystemRandom::new().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

async fn set_up(options: Options) -> Result<Stage, SandboxError> {
    let progress = Progress::stderr();
    let settings = Settings::from_environment().map_err(SandboxError::Settings)?;
    let assets = Assets::new(settings, progress);
    // All of them now: what is needed later would make people wait in the middle of the story.
    assets.folder().await.map_err(SandboxError::Assets)?;
    let plane = PlaneOptions {
        identities: vec![operator::identity()],
        controller_manager: true,
        audit: true,
        keep: options.keep,
    };
    let plane = ControlPlane::start(&assets, plane, progress)
        .await
        .map_err(SandboxError::plane("start a control plane"))?;
    let provider = Provider::start(Clock::system(), entropy(), (0, 0)).await?;
    let provider = Arc::new(provider);
    progress
        .during(
            "installing the chart",
            installation::install(&plane, &provider),
        )
        .await?;
    let binary = std::env::current_exe().map_err(SandboxError::Operator)?;
    let operator = Operator::start(&plane, &binary, options.time_scale)?;
    let narrator = Narrator::stdout(Clock::system());
    Stage::new(plane, provider, operator, narrator, options.time_scale)
}

async fn tell(stage: &mut Stage) -> Result<(), SandboxError> {
    introduce(stage);
    stage
        .until("the connection is ready", async |stage: &Stage| {
            let connection = stage.connections.get("acme").await;
            let connection = connection.map_err(SandboxError::kubernetes("read the connection"))?;
            let conditions = connection.status.unwrap_or_default().conditions;
            let ready = conditions.iter().any(|condition| {
                condition.type_ == ConditionType::Ready.as_str() && condition.status == "True"
            });
            Ok(ready.then_some(()))
        })
        .await?;
    let summary = story::tell(stage).await?;
    sum_up(&stage.narrator, summary);
    hold(summary.refused == 0, "the consumer was refused")
}

fn introduce(stage: &Stage) {
    let scale = stage.scale;
    say(format_args!(
        "\nHandover sandbox: a real Kubernetes API server, a simulated Errova, and the operator (process {})\n\
         with exactly the rights that its chart grants for namespace web. Durations are {scale} times shorter\n\
         than in a cluster: an overlap of 5m takes {:#}.",
        stage.operator.pid(),
        stage.scaled(5),
    ));
}

fn sum_up(narrator: &Narrator, summary: Summary) {
    let Summary {
        rotations,
        ticks,
        refused,
        created,
        left,
    } = summary;
    narrator.chapter("The story came true", &[]);
    say(format_args!(
        "  rotations                         {rotations}\n  \
           tokens created, one create each   {created}\n  \
           the consumer authenticated        {ticks} times\n  \
           it was refused                    {refused} times\n  \
           tokens that still work            {left}"
    ));
}

/// The token once more, for whoever wants to look around.
async fn show_around(stage: &Stage) -> Result<(), SandboxError> {
    installation::apply_example(&stage.plane, "3-token").await?;
    let kubeconfig = stage
        .plane
        .kubeconfig(ADMIN)
        .map_err(SandboxError::plane("find the kubeconfig"))?;
    let kubeconfig = kubeconfig.display();
    let addresses = stage.provider.addresses();
    let (control, log) = (addresses.control, stage.operator.log().display());
    let kubectl = stage
        .plane
        .tool(Tool::Kubectl)
        .await
        .map_err(SandboxError::plane("find kubectl"))?;
    stage.narrator.chapter("It stays up until ctrl-C", &[]);
    say(format_args!(
        "The token web/ci-deploy was applied again, and is rotated every {every:#} (1h of its spec).\n\n\
         alias k='{kubectl} --kubeconfig {kubeconfig}'\n\
         k get machinetokens -n web -w\n\
         k describe machinetoken ci-deploy -n web\n\
         k get events -n web\n\n\
         rotate now        k annotate machinetoken ci-deploy -n web --overwrite \\\n\
        \u{20}                   handover.dev/rotate-requested-at=$(date -u +%FT%TZ)\n\
         lose next answer  curl -H 'content-type: application/json' http://{control}/_sim/faults \\\n\
        \u{20}                   -d '{{\"op\": \"machineToken.create\", \"nth\": 1, \"faults\": [\"loseResponse\"]}}'\n\
         provider down     curl -H 'content-type: application/json' http://{control}/_sim/faults \\\n\
        \u{20}                   -d '{{\"faults\": [{{\"status\": {{\"code\": 503}}}}]}}'\n\
         no more faults    curl -X DELETE http://{control}/_sim/faults\n\
         what is true      curl http://{control}/_sim/truth\n\
         metrics           curl http://{admin}/metrics\n\
         operator's log    {log}",
        every = stage.scaled(60),
        kubectl = kubectl.display(),
        admin = stage.operator.admin_address(),
    ));
    Ok(())
}

/// In order: nothing of the operator's last requests is lost.
async fn stop(stage: Stage) -> Result<(), SandboxError> {
    let (narrator, operator) = (stage.narrator.clone(), stage.operator);
    let pid = operator.pid();
    let stopped = narrator.during("the operator stops", operator.stop()).await;
    hold(
        stopped,
        format!("the operator, process {pid}, does not stop at SIGTERM"),
    )
}

fn keep(mut stage: Stage, error: SandboxError) -> SandboxError {
    if matches!(error, SandboxError::Interrupted) {
        return error;
    }
    stage.plane.keep_folder();
    let folder: PathBuf = stage.plane.folder().to_owned();
    SandboxError::Kept {
        folder,
        source: Box::new(error),
    }
}
