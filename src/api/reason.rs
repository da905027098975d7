//! Why a condition is as it is: one closed list, with who acts and what to do.

use std::fmt;

/// Who has to do something before a condition gets better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Actor {
    /// Nobody: this is how it should be.
    Nobody,
    /// Handover, by itself.
    Handover,
    /// Whoever wrote the resource.
    ResourceOwner,
    /// Whoever wrote the connection the resource refers to.
    ConnectionOwner,
    /// Whoever runs Handover.
    PlatformTeam,
}

/// What is known about a [`Reason`] beyond its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct About {
    /// What was seen.
    pub cause: &'static str,
    /// Who acts.
    pub actor: Actor,
    /// What to do.
    pub remedy: &'static str,
}

/// One line per reason: name, who acts, cause, remedy. The enum, its list and its table are this.
macro_rules! reasons {
    ($($name:ident, $actor:ident, $cause:literal, $remedy:literal;)+) => {
        /// The reason of a condition.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $cause] $name,)+
        }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name, as conditions carry it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// Cause, who acts, and what to do.
            pub const fn about(self) -> About {
                match self {
                    $(Self::$name => About {
                        cause: $cause,
                        actor: Actor::$actor,
                        remedy: $remedy,
                    },)+
                }
            }
        }
    };
}

reasons! {
    Delivered, Nobody,
        "The target Secret holds a verified, unrevoked credential.",
        "Nothing.";
    Overlap, Nobody,
        "The target holds the new credential; the one before it still works until its overlap is over.",
        "Nothing.";
    Authenticated, Nobody,
        "An authenticated call to the provider succeeded.",
        "Nothing.";
    Pending, Handover,
        "No operator has looked at this resource yet.",
        "If it stays so: check that the operator runs, and that its selector and namespaces include this resource.";
    Issuing, Handover,
        "A credential is being created at the provider.",
        "Nothing.";
    Verifying, Handover,
        "A created credential is stored and has not authenticated yet.",
        "Nothing; providers may need minutes until a new credential works.";
    Delivering, Handover,
        "The target Secret is being written.",
        "Nothing.";
    TargetDamaged, Handover,
        "The target Secret was deleted or edited, and could not be restored yet.",
        "Find out who writes that Secret; Handover owns its data.";
    ProviderUnavailable, Handover,
        "The provider does not answer, or answers with an error of its own.",
        "Wait, or check the provider's status and the connection's url.";
    RateLimited, Handover,
        "The provider asked for a pause.",
        "Wait; if it is frequent, lower requests.perMinute of the connection.";
    ConnectionNotReady, ConnectionOwner,
        "The connection exists, but is not usable.",
        "Look at the conditions of the connection.";
    ReferenceMissing, ResourceOwner,
        "Something this resource refers to does not exist.",
        "Create it, or correct the reference; the order does not matter.";
    BudgetExhausted, Handover,
        "Too many credentials were created without one of them becoming current.",
        "Remove the cause named in the message; issuing goes on when the window of 24 hours has passed.";
    SpecInvalid, ResourceOwner,
        "The spec contradicts itself or a rule of its kind.",
        "Correct the field that the message names.";
    TargetForeign, ResourceOwner,
        "A Secret of the target's name exists and belongs to someone else.",
        "Choose another secret.name, or let the owner of that Secret annotate it for takeover.";
    TargetRejected, ResourceOwner,
        "The API server refuses the target Secret.",
        "Correct spec.secret, or the admission policy that refuses it.";
    NotAllowed, ConnectionOwner,
        "No access rule of the connection admits what is asked for.",
        "Ask for less, or ask the owner of the connection for an access rule.";
    NamespaceNotGranted, PlatformTeam,
        "The operator has no rights in this namespace.",
        "Add the namespace to rbac.namespaces of the chart, or bind the ClusterRole handover-tenant there.";
    ProviderRejected, ConnectionOwner,
        "The provider refuses what the connection's credential asks for.",
        "Give the connection a credential with the needed rights, or correct the request the message names.";
    VerifyFailed, ConnectionOwner,
        "A created credential never authenticated, or is not what was asked for; it was not used.",
        "Check scopes and organization; Handover tries again after a growing pause.";
    CapabilityMissing, ResourceOwner,
        "The provider, or the credential of the connection, cannot do this at all.",
        "Use what the message names instead.";
    BreakerOpen, PlatformTeam,
        "Something happened that should be impossible; creating and deleting stopped on the whole connection.",
        "Read the message; update Handover if the provider changed its answers.";
    AmbiguousCreate, PlatformTeam,
        "Creates whose outcome is unknown: a credential may exist at the provider that nobody holds.",
        "Look for the labels of status.suspectedOrphans at the provider, delete them, then set the annotation handover.dev/resolved-attempts.";
    RotationBlocked, ResourceOwner,
        "The overlap is over, but something still uses the credential before.",
        "Restart what status.retiring names, or shorten rotation.waitFor.";
    StateRollback, PlatformTeam,
        "The target Secret holds a newer credential than the ledger knows: the ledger was set back.",
        "Restore the newer ledger from backup, or delete the target Secret to distribute the older credential.";
    Expired, Handover,
        "The credential reached the end of its life before a successor was ready.",
        "Look at the message for what held the successor up.";
    Revoked, ResourceOwner,
        "The credential was revoked.",
        "Nothing, or delete the resource.";
    Paused, ResourceOwner,
        "The annotation handover.dev/paused holds back issue, rotation and delivery.",
        "Remove the annotation to go on.";
    Deleting, Handover,
        "The resource is being deleted; its credentials are being revoked.",
        "Nothing.";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_that_needs_someone_says_what_to_do() {
        for reason in Reason::ALL {
            let about = reason.about();
            let idle = matches!(about.actor, Actor::Nobody | Actor::Handover);
            assert!(idle || about.remedy != "Nothing.", "{reason}");
        }
    }
}
