//! What the environment says about the control plane, read once.

use std::{ffi::OsString, fmt, path::PathBuf, str::FromStr};

/// The version that sandbox and tests run on. `tools/kubernetes` pins the same one.
pub const DEFAULT_KUBERNETES: &str = "1.36.3";

/// Where controller-tools publishes which envtest archives there are, and their sums.
const ENVTEST_INDEX: &str =
    "https://raw.githubusercontent.com/kubernetes-sigs/controller-tools/HEAD/envtest-releases.yaml";

/// Where binaries may come from, and for which version.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `KUBEBUILDER_ASSETS`: a folder of binaries that goes before everything else.
    pub kubebuilder_assets: Option<PathBuf>,
    /// `HANDOVER_CACHE`, else `XDG_CACHE_HOME/handover`, else `~/.cache/handover`.
    pub cache: Option<PathBuf>,
    /// `HANDOVER_KUBERNETES_VERSION`, else [`DEFAULT_KUBERNETES`].
    pub kubernetes: KubernetesVersion,
    /// The index of the envtest archives.
    pub envtest_index: String,
}

/// A release such as `1.36.3`: it names folders and archives, so nothing else gets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubernetesVersion(String);

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not three numbers.
    #[error("a Kubernetes version looks like {DEFAULT_KUBERNETES}, not {0:?}")]
    KubernetesVersion(String),
}

// === impl Settings ===

impl Settings {
    /// Reads the environment of this process.
    pub fn from_environment() -> Result<Self, SettingsError> {
        Self::resolve(|name| std::env::var_os(name))
    }

    fn resolve(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, SettingsError> {
        // Absolute, because tools are run in other folders than this one.
        let folder = |name| {
            let value = variable(name).filter(|value| !value.is_empty())?;
            std::path::absolute(value).ok()
        };
        let cache = folder("HANDOVER_CACHE")
            .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("handover")))
            .or_else(|| folder("HOME").map(|home| home.join(".cache/handover")));
        let kubernetes = match variable("HANDOVER_KUBERNETES_VERSION") {
            Some(version) if !version.is_empty() => version.to_string_lossy().parse()?,
            _ => DEFAULT_KUBERNETES.parse()?,
        };
        Ok(Self {
            kubebuilder_assets: folder("KUBEBUILDER_ASSETS"),
            cache,
            kubernetes,
            envtest_index: ENVTEST_INDEX.to_owned(),
        })
    }
}

// === impl KubernetesVersion ===

impl KubernetesVersion {
    /// `36` of `1.36.3`.
    pub fn minor(&self) -> &str {
        self.0.split('.').nth(1).unwrap_or_default()
    }
}

impl FromStr for KubernetesVersion {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let version = text.strip_prefix('v').unwrap_or(text);
        let is_number = |part: &str| part.parse::<u16>().is_ok_and(|n| n.to_string() == part);
        if version.split('.').count() == 3 && version.split('.').all(is_number) {
            Ok(Self(version.to_owned()))
        } else {
            Err(SettingsError::KubernetesVersion(text.to_owned()))
        }
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(environment: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::resolve(|name| {
            let found = environment.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn the_nearest_variable_names_the_cache() {
        let cache = |environment: &[(&str, &str)]| resolve(environment).unwrap().cache;
        let (ours, xdg, home) = (
            ("HANDOVER_CACHE", "/a"),
            ("XDG_CACHE_HOME", "/b"),
            ("HOME", "/c"),
        );
        assert_eq!(cache(&[ours, xdg, home]), Some("/a".into()));
        assert_eq!(cache(&[xdg, home]), Some("/b/handover".into()));
        assert_eq!(
            cache(&[("XDG_CACHE_HOME", ""), home]),
            Some("/c/.cache/handover".into())
        );
        assert_eq!(cache(&[]), None);
        assert!(
            cache(&[("HANDOVER_CACHE", "target/cache")])
                .unwrap()
                .is_absolute()
        );
    }

    #[test]
    fn a_version_is_three_numbers() {
        let with = |version| resolve(&[("HANDOVER_KUBERNETES_VERSION", version)]);
        assert_eq!(with("v1.33.13").unwrap().kubernetes.to_string(), "1.33.13");
        assert_eq!(with("").unwrap().kubernetes.to_string(), DEFAULT_KUBERNETES);
        assert_eq!(with("1.33.13").unwrap().kubernetes.minor(), "33");
        for wrong in [
            "1.33",
            "latest",
            "1.33.13/../..",
            "1.33.+1",
            "1.033.1",
            "1..3",
        ] {
            let refused = SettingsError::KubernetesVersion(wrong.to_owned());
            assert_eq!(with(wrong).unwrap_err(), refused);
        }
    }
}
