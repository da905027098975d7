//! One control plane for all tests of this binary, and a namespace for each.

use std::{sync::LazyLock, time::Duration};

use handover::sandbox::{
    assets::Assets,
    control_plane::{ADMIN, ControlPlane, ControlPlaneError, Identity, Options},
    progress::Progress,
    settings::Settings,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::sync::OnceCell;

/// The operator as the chart installs it: a service account, and no admin.
pub(crate) const OPERATOR: &str = "operator";

/// Whether the tests of this binary are left out, visibly: call it first.
#[expect(
    clippy::disallowed_methods,
    reason = "tests have no settings but this one"
)]
pub(crate) fn is_off() -> bool {
    let off = std::env::var("HANDOVER_CLUSTER_TESTS").is_ok_and(|value| value == "off");
    if off {
        Progress::stderr().say("left out a cluster test: HANDOVER_CLUSTER_TESTS=off");
    }
    off
}

/// The binaries, by the settings of this environment.
pub(crate) fn assets() -> &'static Assets {
    static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
        let settings = Settings::from_environment().expect("the environment can be read");
        Assets::new(settings, Progress::stderr())
    });
    &ASSETS
}

/// The control plane that is shared. It ends with this process. A failure is shared as well, so that
/// each test tells it and none repeats it.
pub(crate) async fn plane() -> &'static ControlPlane {
    static PLANE: OnceCell<Result<ControlPlane, ControlPlaneError>> = OnceCell::const_new();
    let started = PLANE.get_or_init(async || {
        let options = Options {
            identities: vec![Identity::service_account(
                OPERATOR,
                "handover-system",
                "handover",
            )],
            controller_manager: true,
            ..Options::default()
        };
        ControlPlane::start(assets(), options, Progress::stderr()).await
    });
    match started.await {
        Ok(plane) => plane,
        Err(error) => panic!("{}", explain(error)),
    }
}

/// A new namespace, and an admin's client for it.
pub(crate) async fn namespace() -> (Client, String) {
    let client = plane().await.client(ADMIN).expect("the admin is known");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let wanted = Namespace {
        metadata: ObjectMeta {
            generate_name: Some("test-".to_owned()),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let made = namespaces.create(&PostParams::default(), &wanted).await;
    let name = made.expect("an admin may create a namespace").metadata.name;
    (client, name.expect("the server chose a name"))
}

/// Waits for what another process is about to do; `what` is a sentence for the failure.
pub(crate) async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let poll = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let patience = Duration::from_secs(60);
    assert!(
        tokio::time::timeout(patience, poll).await.is_ok(),
        "after {patience:?}, not so: {what}"
    );
}

/// The whole chain: the reason stands at its end.
pub(crate) fn explain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let lines: Vec<_> = causes.map(ToString::to_string).collect();
    let way_out = "HANDOVER_CLUSTER_TESTS=off leaves out the tests that need a control plane.";
    format!("no control plane: {}\n{way_out}", lines.join("\n"))
}
