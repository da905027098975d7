//! `handover crds`: the definitions of every kind, as one YAML stream.

use crate::{
    api,
    yaml::{self, YamlError},
};

/// The text to print.
pub fn crds() -> Result<String, YamlError> {
    yaml::print_all(&api::crds())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn every_kind_is_printed() {
        let documents: Vec<Value> = yaml::read_all(&crds().unwrap()).unwrap();
        let kinds: Vec<_> = documents
            .iter()
            .map(|d| &d["spec"]["names"]["kind"])
            .collect();
        assert_eq!(kinds, ["ClusterConnection", "Connection", "MachineToken"]);
    }
}
