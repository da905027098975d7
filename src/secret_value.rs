//! The one type that holds a secret: it cannot be printed, serialized or cloned, and is wiped when dropped.
//!
//! What this cannot reach: buffers of the HTTP and JSON layers below us are freed, not wiped.

use std::fmt;

use zeroize::Zeroizing;

/// A secret value. Reading it takes a call that a reviewer can search for: [`SecretValue::expose`].
pub struct SecretValue(Zeroizing<String>);

impl SecretValue {
    /// Takes ownership of a value; the caller's copy is moved, not duplicated.
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself, for the wire, the ledger and the target. Never for a message.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A second holder of the same value, spelled out because `Clone` would be too easy to derive.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        let value = SecretValue::new("canary".to_owned());
        assert_eq!(format!("{value:?} {value:#?}"), "[redacted] [redacted]");
        assert_eq!(value.duplicate().expose(), "canary");
    }
}
