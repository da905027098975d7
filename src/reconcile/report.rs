//! Writes the status of a token, if it differs from what is there.

use std::{convert::Infallible, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    Context, Error,
    pass::Pass,
    status::{build, conditions, findings},
    verdict::Verdict,
};
use crate::{
    api::{
        condition::{ConditionType, Reason},
        machine_token::{MachineToken, MachineTokenStatus},
    },
    cluster::{ClusterError, answer},
    plan::{Plan, world::Resource},
};

/// After this time a pass is slow.
const SLOW: Duration = Duration::from_secs(5);

/// Writes the status of a token, if it differs from what the watch showed.
pub(super) async fn write_if_changed(pass: &Pass, plan: &Plan, ctx: &Context) -> Result<(), Error> {
    let Some(token) = pass
        .token
        .as_ref()
        .filter(|_| !matches!(pass.world.resource, Resource::Gone))
    else {
        return Ok(());
    };
    let before = ctx
        .token_status
        .latest(&token.metadata, token.status.as_ref());
    let status = build(token, before.as_ref(), pass, plan, ctx);
    if before.as_ref().is_some_and(|before| same(before, &status)) {
        return Ok(());
    }
    let owner = || pass.owner().to_string();
    write(token, before.as_ref(), status, ctx)
        .await
        .map_err(|source| Error::WriteStatus {
            owner: owner(),
            source,
        })
}

/// A resource that is not ready and whose pass takes long says so meanwhile: the first write should tell
/// the outcome, but nobody should wait for it in the dark. Never ends.
pub(super) async fn slowness(token: &MachineToken, ctx: &Context) -> Infallible {
    tokio::time::sleep(SLOW).await;
    unfinished(
        token,
        Reason::Issuing,
        "work on this resource is under way",
        ctx,
    )
    .await;
    std::future::pending().await
}

/// What a resource that is not ready shows when a pass did not come to its end. The pass, or the next
/// one, reports what it really comes to: a failure of this write is of no importance.
pub(super) async fn unfinished(token: &MachineToken, reason: Reason, message: &str, ctx: &Context) {
    let latest = ctx
        .token_status
        .latest(&token.metadata, token.status.as_ref());
    let before = latest.unwrap_or_default();
    let ready = |c: &Condition| c.type_ == ConditionType::Ready.as_str() && c.status == "True";
    if !before.conditions.iter().any(ready) {
        write_unfinished(token, reason, message, ctx).await;
    }
}

/// What a resource shows whose pass failed while its target was not what it should be: `Ready` must not
/// stay beside that.
pub(super) async fn damage(token: &MachineToken, message: &str, ctx: &Context) {
    write_unfinished(token, Reason::Pending, message, ctx).await;
}

async fn write_unfinished(token: &MachineToken, reason: Reason, message: &str, ctx: &Context) {
    let latest = ctx
        .token_status
        .latest(&token.metadata, token.status.as_ref());
    let before = latest.clone().unwrap_or_default();
    let message = message.to_owned();
    let verdict = Verdict {
        ready: false,
        stalled: false,
        reason,
        message,
        blocked: None,
    };
    let orphans = before.suspected_orphans.as_ref().map_or(0, Vec::len);
    let findings = findings(token, orphans, &verdict);
    let status = MachineTokenStatus {
        conditions: conditions(&before.conditions, findings, ctx.clock.now()),
        observed_generation: token.metadata.generation,
        ..before
    };
    if !latest.as_ref().is_some_and(|latest| same(latest, &status)) {
        let _ = write(token, latest.as_ref(), status, ctx).await;
    }
}

async fn write(
    token: &MachineToken,
    before: Option<&MachineTokenStatus>,
    status: MachineTokenStatus,
    ctx: &Context,
) -> Result<(), ClusterError> {
    let namespace = token.namespace().unwrap_or_default();
    let tokens: Api<MachineToken> = Api::namespaced(ctx.client.0.clone(), &namespace);
    let body = Patch::Merge(patch(&status, before));
    let (name, params) = (token.name_any(), PatchParams::default());
    match answer(tokens.patch_status(&name, &params, &body)).await {
        Ok(stored) => {
            ctx.token_status.keep(&stored.metadata, status);
            Ok(())
        }
        Err(ClusterError::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Equal as the API shows them: times have whole seconds there.
fn same<T: serde::Serialize>(before: &T, after: &T) -> bool {
    serde_json::to_value(before).ok() == serde_json::to_value(after).ok()
}

/// A merge patch that also removes what is no longer there.
pub(super) fn patch<T: serde::Serialize>(status: &T, before: Option<&T>) -> Value {
    let mut next = serde_json::to_value(status).unwrap_or_default();
    let before = before
        .and_then(|before| serde_json::to_value(before).ok())
        .unwrap_or_default();
    remove_absent(&mut next, &before);
    json!({ "status": next })
}

fn remove_absent(next: &mut Value, before: &Value) {
    let (Some(next), Some(before)) = (next.as_object_mut(), before.as_object()) else {
        return;
    };
    for (key, old) in before {
        match next.get_mut(key) {
            Some(value) => remove_absent(value, old),
            None => {
                next.insert(key.clone(), Value::Null);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_patch_removes_what_is_no_longer_there() {
        let before =
            json!({ "a": 1, "gone": { "x": 1 }, "deep": { "kept": 1, "gone": 2 }, "list": [1, 2] });
        let after = json!({ "a": 1, "deep": { "kept": 3 }, "list": [2] });
        let expected = json!({
            "status": { "a": 1, "gone": null, "deep": { "kept": 3, "gone": null }, "list": [2] }
        });
        assert_eq!(patch(&after, Some(&before)), expected);
        assert_eq!(patch(&after, None), json!({ "status": after }));
    }
}
