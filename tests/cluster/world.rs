//! A cluster with one release of the chart, an operator under exactly its rights, and providers.
//!
//! ```text
//!   consumers ──HTTP──► simulator ◄──HTTP── operator ──HTTPS──► kube-apiserver ◄── test, as admin
//!                                          (the identity that Helm's RBAC names)
//! ```
//!
//! The kinds are watched cluster-wide, so two operators would look after each other's resources: a
//! world has a control plane of its own, and the scenarios within it a namespace each. The operator
//! runs in this process (`handover::app`), with real clients and real sockets.

use std::{fs, sync::Mutex};

use handover::{
    app::{self, Parts},
    cli::operator::dial,
    clock::Clock,
    plan::Times,
    provider::endpoint::HostRules,
    sandbox::{
        control_plane::{ADMIN, ControlPlane, Identity, Options},
        progress::Progress,
    },
    telemetry::{admin::Readiness, metrics::Metrics},
};
use k8s_openapi::{
    api::core::v1::{Namespace, Secret},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client, ResourceExt as _, api::PostParams};
use kube_runtime::wait::{await_condition, conditions::is_crd_established};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    chart,
    plane::{self, OPERATOR},
};

/// The operator's namespace.
pub(crate) const SYSTEM: &str = "handover-system";

/// The user that the API server sees behind the operator.
pub(crate) const OPERATOR_USER: &str = "system:serviceaccount:handover-system:handover";

/// A cluster, the chart in it, and the operator.
pub(crate) struct World {
    pub(crate) plane: ControlPlane,
    pub(crate) admin: Client,
    operator: Mutex<Option<Operator>>,
}

struct Operator {
    task: JoinHandle<Result<(), app::Error>>,
    stopping: CancellationToken,
}

impl World {
    /// A control plane with audit log and controllers, and a release that may work in `granted`.
    pub(crate) async fn install(granted: &[&str]) -> Self {
        let options = Options {
            identities: vec![Identity::service_account(OPERATOR, SYSTEM, "handover")],
            controller_manager: true,
            audit: true,
            ..Options::default()
        };
        let plane = ControlPlane::start(plane::assets(), options, Progress::stderr());
        let plane = plane
            .await
            .unwrap_or_else(|error| panic!("{}", plane::explain(&error)));
        let admin = plane.client(ADMIN).unwrap();
        let world = Self {
            plane,
            admin,
            operator: Mutex::default(),
        };
        for namespace in [SYSTEM].iter().chain(granted) {
            world.make_namespace(namespace, &json!({})).await;
        }
        world.install_chart(granted).await;
        world
    }

    async fn install_chart(&self, granted: &[&str]) {
        let namespaces = format!("rbac.namespaces={{{}}}", granted.join(","));
        let (rendered, text) = chart::template(SYSTEM, &["--set", &namespaces]).await;
        assert!(rendered, "{text}");
        let file = self.plane.folder().join("chart.yaml");
        fs::write(&file, text).unwrap();
        let apply = ["apply", "--server-side", "-f", file.to_str().unwrap()];
        self.plane.kubectl(ADMIN, &apply).await.unwrap();
        let definitions: Api<CustomResourceDefinition> = Api::all(self.admin.clone());
        for definition in handover::api::crds() {
            let name = definition.name_any();
            let served = await_condition(definitions.clone(), &name, is_crd_established());
            served.await.unwrap();
        }
    }

    /// Starts the operator, with times `scale` times shorter than they ship.
    pub(crate) fn start(&self, scale: u32) {
        let stopping = CancellationToken::new();
        let parts = Parts {
            client: self.plane.client(OPERATOR).unwrap(),
            namespace: SYSTEM.to_owned(),
            served: None,
            selector: None,
            concurrency: 32,
            rules: HostRules::default(),
            dial: dial(None),
            clock: Clock::system(),
            times: Times::shipped().scaled(scale),
            metrics: Metrics::new(true),
            readiness: Readiness::default(),
            stopping: stopping.clone(),
        };
        let task = tokio::spawn(app::run(parts));
        *self.operator.lock().unwrap() = Some(Operator { task, stopping });
    }

    /// As by SIGTERM; waits until it has ended.
    pub(crate) async fn stop(&self) {
        let running = self.operator.lock().unwrap().take();
        if let Some(operator) = running {
            operator.stopping.cancel();
            operator.task.await.unwrap().unwrap();
        }
    }

    pub(crate) fn secrets_of(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.admin.clone(), namespace)
    }

    pub(crate) async fn make_namespace(&self, name: &str, labels: &Value) {
        let namespace = json!({ "metadata": { "name": name, "labels": labels } });
        let namespace: Namespace = serde_json::from_value(namespace).unwrap();
        let namespaces: Api<Namespace> = Api::all(self.admin.clone());
        let made = namespaces.create(&PostParams::default(), &namespace).await;
        made.unwrap();
    }
}
