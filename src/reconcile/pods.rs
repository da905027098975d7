//! Which Pods hold a value of a Secret, and how: what the gate `Pods` asks.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume};
use kube::{Api, Client, ResourceExt as _, api::ListParams};

use crate::{
    cluster::{ClusterError, answer},
    moment::before,
    plan::world::PodUse,
};

/// How many Pods one page holds.
const PAGE: u32 = 500;

/// How far the clock of a node, which tells when a Pod started, may be ahead of the API server's, which
/// tells when it was made. A Pod that seems to have started late may hold an old value.
const NODE_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// The Pods of a namespace that refer to a Secret and have not ended.
pub async fn using(
    client: &Client,
    namespace: &str,
    secret: &str,
) -> Result<Vec<PodUse>, ClusterError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut page = ListParams::default().limit(PAGE);
    let mut found = Vec::new();
    loop {
        let list = answer(pods.list(&page)).await?;
        found.extend(list.items.iter().filter_map(|pod| pod_use(pod, secret)));
        match list.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => page = page.continue_token(&next),
            None => return Ok(found),
        }
    }
}

fn pod_use(pod: &Pod, secret: &str) -> Option<PodUse> {
    let spec = pod.spec.as_ref()?;
    let status = pod.status.as_ref();
    let ended = matches!(
        status.and_then(|s| s.phase.as_deref()),
        Some("Succeeded" | "Failed")
    );
    let reads_once = reads_once(spec, secret);
    if ended || !(reads_once || mounts(spec, secret) || pulls(spec, secret)) {
        return None;
    }
    let started = status
        .and_then(|status| status.start_time.as_ref())
        .map(|time| before(time.0, NODE_SKEW));
    let created = pod.creation_timestamp().map(|time| time.0);
    let since = started.max(created).unwrap_or(Timestamp::MIN);
    Some(PodUse {
        name: pod.name_any(),
        since,
        reads_once,
    })
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.containers
        .iter()
        .chain(spec.init_containers.iter().flatten())
}

/// env, envFrom and subPath mounts are read when the container starts, and never again.
fn reads_once(spec: &PodSpec, secret: &str) -> bool {
    let volumes: Vec<&str> = volumes(spec, secret)
        .map(|volume| volume.name.as_str())
        .collect();
    containers(spec).any(|container| {
        let env = container.env.iter().flatten();
        let by_env = env.filter_map(|env| env.value_from.as_ref()?.secret_key_ref.as_ref());
        let env_from = container.env_from.iter().flatten();
        let by_env_from = env_from.filter_map(|env| env.secret_ref.as_ref());
        let mounts = container.volume_mounts.iter().flatten();
        let mut by_sub_path = mounts.filter(|mount| {
            let sub = mount.sub_path.is_some() || mount.sub_path_expr.is_some();
            sub && volumes.contains(&mount.name.as_str())
        });
        by_env
            .map(|key| key.name.as_str())
            .any(|name| name == secret)
            || by_env_from
                .map(|source| source.name.as_str())
                .any(|name| name == secret)
            || by_sub_path.next().is_some()
    })
}

/// Plain and projected volumes follow the Secret after a while.
fn mounts(spec: &PodSpec, secret: &str) -> bool {
    volumes(spec, secret).next().is_some()
}

fn volumes<'a>(spec: &'a PodSpec, secret: &'a str) -> impl Iterator<Item = &'a Volume> {
    let uses = move |volume: &&Volume| {
        let plain = volume
            .secret
            .as_ref()
            .and_then(|source| source.secret_name.as_deref());
        let projected = volume
            .projected
            .iter()
            .flat_map(|p| p.sources.iter().flatten());
        let mut projected = projected.filter_map(|source| source.secret.as_ref());
        plain == Some(secret) || projected.any(|source| source.name == secret)
    };
    spec.volumes.iter().flatten().filter(uses)
}

/// Read again at each pull of an image.
fn pulls(spec: &PodSpec, secret: &str) -> bool {
    spec.image_pull_secrets
        .iter()
        .flatten()
        .any(|reference| reference.name == secret)
}

#[cfg(test)]
mod tests;
