//! Installs what a platform team would: the chart, the admin credential, the connection; and applies the
//! manifests of `examples/sandbox/` that belong to the team `web`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{
    SandboxError,
    control_plane::{ADMIN, ControlPlane},
    operator::{ACCOUNT, NAMESPACE},
    provider::Provider,
};
use crate::{api, yaml};

/// The checkout that this program was compiled from.
const CHECKOUT: &str = env!("CARGO_MANIFEST_DIR");

/// The chart, but for its Deployment: there is no kubelet to run it, so the sandbox runs the operator.
pub(super) async fn install(plane: &ControlPlane, provider: &Provider) -> Result<(), SandboxError> {
    let namespace = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE},
    });
    apply(plane, "0-namespace", &[namespace]).await?;
    apply_example(plane, "1-namespace").await?;
    apply(plane, "chart", &render(plane).await?).await?;
    for definition in api::crds() {
        let name = format!("crd/{}", definition.metadata.name.unwrap_or_default());
        let wait = [
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            &name,
        ];
        kubectl(plane, "wait for the custom resources", &wait).await?;
    }
    connect(plane, provider).await
}

/// The objects that Helm renders for an operator that serves the namespace `web`.
async fn render(plane: &ControlPlane) -> Result<Vec<Value>, SandboxError> {
    let chart = Path::new(CHECKOUT).join("charts/handover");
    let text = plane
        .helm(
            ADMIN,
            &[
                "template",
                ACCOUNT,
                &chart.display().to_string(),
                "--namespace",
                NAMESPACE,
                "--kube-version=1.33.0",
                "--set=rbac.namespaces={web}",
            ],
        )
        .await
        .map_err(SandboxError::plane("render the chart"))?;
    let mut objects: Vec<Value> =
        yaml::read_all(&text).map_err(|source| SandboxError::Manifest {
            path: chart,
            source,
        })?;
    objects.retain(|object| object["kind"] != "Deployment");
    Ok(objects)
}

/// The admin credential, and the connection with the address of the simulator.
async fn connect(plane: &ControlPlane, provider: &Provider) -> Result<(), SandboxError> {
    let admin = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "errova-admin", "namespace": NAMESPACE},
        "stringData": {"tokenSecret": provider.admin().expose()},
    });
    apply(plane, "errova-admin", &[admin]).await?;
    let mut connection = example("2-connection")?;
    for object in &mut connection {
        object["spec"]["url"] = json!(provider.url());
        // Time runs faster here, and so do requests; at the default of 60 they would be waited for.
        object["spec"]["requests"] = json!({"perMinute": 3000});
    }
    apply(plane, "2-connection", &connection).await
}

/// Applies a file of `examples/sandbox/`.
pub(super) async fn apply_example(plane: &ControlPlane, name: &str) -> Result<(), SandboxError> {
    apply(plane, name, &example(name)?).await
}

fn example(name: &str) -> Result<Vec<Value>, SandboxError> {
    let path = Path::new(CHECKOUT).join(format!("examples/sandbox/{name}.yaml"));
    let text = fs::read_to_string(&path);
    let text = text.map_err(|source| SandboxError::File {
        path: path.clone(),
        source,
    })?;
    yaml::read_all(&text).map_err(|source| SandboxError::Manifest { path, source })
}

/// As a person would, by a file in the folder of the control plane, which only this user can enter.
async fn apply(plane: &ControlPlane, name: &str, objects: &[Value]) -> Result<(), SandboxError> {
    let path: PathBuf = plane.folder().join(format!("{name}.yaml"));
    let text = yaml::print_all(objects).map_err(|source| SandboxError::Manifest {
        path: path.clone(),
        source,
    })?;
    fs::write(&path, text).map_err(|source| SandboxError::File {
        path: path.clone(),
        source,
    })?;
    let path = path.display().to_string();
    let arguments = ["apply", "--server-side", "--force-conflicts", "-f", &path];
    kubectl(plane, "apply a manifest", &arguments).await
}

async fn kubectl(
    plane: &ControlPlane,
    action: &'static str,
    arguments: &[&str],
) -> Result<(), SandboxError> {
    let said = plane.kubectl(ADMIN, arguments).await;
    said.map(drop).map_err(SandboxError::plane(action))
}
