//! Names on objects: annotations, labels, the finalizer, and the keys that are nobody's but their tools'.

/// Set on a resource: look at it again. RFC 3339; acts once if later than the last one handled.
pub const RECONCILE_REQUESTED_AT: &str = "handover.dev/reconcile-requested-at";
/// Set on a resource: replace the credential, with overlap. RFC 3339; acts once if later than the last
/// one handled and at most five minutes ahead.
pub const ROTATE_REQUESTED_AT: &str = "handover.dev/rotate-requested-at";
/// Set on a resource: these attempts (`"3,4"`) were looked up at the provider and settled by hand.
pub const RESOLVED_ATTEMPTS: &str = "handover.dev/resolved-attempts";
/// Set on a resource to `"true"`: no issue, rotation or delivery; deletion goes on.
pub const PAUSED: &str = "handover.dev/paused";

/// Set by the owner of a foreign Secret: `<Kind>/<name>` may take it over. Consumed once.
pub const TAKEOVER: &str = "handover.dev/takeover";

/// On a ledger: its record, without values.
pub const LEDGER: &str = "handover.dev/ledger";
/// On `handover-instance`, set by the platform team: the uid of `kube-system` this copy may act for.
pub const CONFIRM_CLUSTER: &str = "handover.dev/confirm-cluster";

/// On a target, for people: the kind of its owner. Not trusted.
pub const OWNER_KIND: &str = "handover.dev/owner-kind";
/// On a target, for people: the name of its owner. Not trusted.
pub const OWNER_NAME: &str = "handover.dev/owner-name";
/// On a target: the uid of its owner, checked against the ledger.
pub const OWNER_UID: &str = "handover.dev/owner-uid";
/// On a target: the epoch of the credential in it.
pub const EPOCH: &str = "handover.dev/epoch";
/// On a target: the attempt that issued the credential in it.
pub const ATTEMPT: &str = "handover.dev/attempt";
/// On a target: the provider's id of the credential in it.
pub const CREDENTIAL_ID: &str = "handover.dev/credential-id";
/// Digest of the presentation (`spec.secret`) that the target was rendered by.
pub const RENDERING: &str = "handover.dev/rendering";
/// On a target: a keyed MAC over owner, epoch, id and data.
pub const MAC: &str = "handover.dev/mac";

/// Label of ledgers and targets, with the value [`MANAGER`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`], and the field manager.
pub const MANAGER: &str = "handover";
/// Label that tells the two apart: [`COMPONENT_LEDGER`] or [`COMPONENT_TARGET`].
pub const COMPONENT: &str = "handover.dev/component";
/// The value of [`COMPONENT`] on ledgers.
pub const COMPONENT_LEDGER: &str = "ledger";
/// The value of [`COMPONENT`] on targets.
pub const COMPONENT_TARGET: &str = "target";

/// On a resource: the credential is still to be revoked.
pub const FINALIZER: &str = "handover.dev/revoke";

/// Prefixes of labels and annotations that tools use to track what they own. A target that carried one
/// would be pruned, garbage-collected or adopted by them.
pub const RESERVED_PREFIXES: &[&str] = &[
    "argocd.argoproj.io/",
    "kustomize.toolkit.fluxcd.io/",
    "helm.toolkit.fluxcd.io/",
    "helm.sh/",
    "meta.helm.sh/",
    "kubectl.kubernetes.io/",
    "kubernetes.io/",
    "k8s.io/",
    "handover.dev/",
];

/// Whole keys that are reserved for the same reason.
pub const RESERVED_KEYS: &[&str] = &["app.kubernetes.io/instance", MANAGED_BY];

/// Whether a label or annotation of this name may be asked for on a target.
pub fn is_reserved(key: &str) -> bool {
    RESERVED_KEYS.contains(&key) || RESERVED_PREFIXES.iter().any(|p| key.starts_with(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_74_tracking_keys_are_reserved_and_the_users_own_are_not() {
        for key in [
            "argocd.argoproj.io/tracking-id",
            "app.kubernetes.io/instance",
            "app.kubernetes.io/managed-by",
            "kubectl.kubernetes.io/last-applied-configuration",
            "meta.helm.sh/release-name",
            "handover.dev/epoch",
        ] {
            assert!(is_reserved(key), "{key}");
        }
        for key in [
            "app.kubernetes.io/name",
            "reloader.stakater.com/match",
            "team",
        ] {
            assert!(!is_reserved(key), "{key}");
        }
    }
}
