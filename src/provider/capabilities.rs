//! What each provider can do per kind of credential, compiled in. The planner sees a provider through this
//! record alone.

/// One record per provider and kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// How a stored value is verified.
    pub probe: ProbeBy,
    /// Characters that the label takes, our marker included.
    pub label_max: usize,
}

/// How a stored value is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeBy {
    /// A call with the value itself.
    Direct,
    /// Not at all: the credential is promoted as unproven.
    Nothing,
}

/// Errova's machine tokens. The length of its labels is not documented; 64 is what the others take.
pub const ERROVA_MACHINE_TOKEN: Capabilities = Capabilities {
    probe: ProbeBy::Direct,
    label_max: 64,
};
