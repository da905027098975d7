//! Providers and operations by the names that knobs, faults, audit and client metrics share.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A provider that is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Provider {
    /// Errova, under `/errova/api` and `/errova/ingest`.
    Errova,
}

macro_rules! operations {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// One call of a management or ingest API. Not every provider serves every one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Operation {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl Operation {
            /// The name in documents: `machineToken.create`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

operations! {
    /// Issues a machine token.
    TokenCreate = "machineToken.create",
    /// Lists machine tokens.
    TokenList = "machineToken.list",
    /// Gives a machine token a new value in place.
    TokenRotate = "machineToken.rotate",
    /// Deletes a machine token.
    TokenDelete = "machineToken.delete",
    /// Makes a project.
    ProjectCreate = "project.create",
    /// Lists projects.
    ProjectList = "project.list",
    /// Reads one project.
    ProjectGet = "project.get",
    /// Changes a project.
    ProjectUpdate = "project.update",
    /// Deletes a project.
    ProjectDelete = "project.delete",
    /// Issues a key of a project.
    KeyCreate = "key.create",
    /// Lists the keys of a project.
    KeyList = "key.list",
    /// Changes a key; at Errova its expiry, which is how a key is revoked.
    KeyUpdate = "key.update",
    /// Gives a key a new value in place.
    KeyRotate = "key.rotate",
    /// Deletes a key.
    KeyDelete = "key.delete",
    /// Asks whether a value authenticates; at Errova the change of a key that cannot exist.
    AuthCheck = "auth.check",
    /// Sends an event.
    IngestEvent = "ingest.event",
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
