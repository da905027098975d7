//! Who may have what through a connection, and the check of it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{
    KubeSchema,
    core::{Selector, SelectorExt as _},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Invalid, span::Span};

/// A rule: what it grants to whom. Later rules do not add to it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AccessRule {
    /// The namespaces this rule admits: exactly one of `names`, `selector`, `all: true`. Required on a
    /// `ClusterConnection`, refused on a Connection, which serves its own namespace only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<Namespaces>,

    /// The kinds this rule admits. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub kinds: Option<Vec<IssuingKind>>,

    /// The scopes a credential may have at most, in the provider's words. Default: none, so no
    /// credential that has scopes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 64)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub scopes: Option<Vec<String>>,

    /// How long a credential may live at most, such as `90d`; also the life of credentials without
    /// `expiresAfter`. Default: no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_lifetime: Option<Span>,
}

/// A choice of namespaces: exactly one of the fields.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "(has(self.names) ? 1 : 0) + (has(self.selector) ? 1 : 0) + (has(self.all) ? 1 : 0) == 1"
    ).message(ONE_CHOICE),
    validation = Rule::new("!has(self.selector) || has(self.selector.matchLabels) && \
        self.selector.matchLabels.size() > 0 || has(self.selector.matchExpressions) && \
        self.selector.matchExpressions.size() > 0").message(EMPTY_SELECTOR),
)]
pub struct Namespaces {
    /// These namespaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub names: Option<Vec<String>>,

    /// Namespaces with these labels. Whoever may label a namespace decides. Not empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "selector_schema")]
    pub selector: Option<LabelSelector>,

    /// `true`: every namespace of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self").message(ALL_IS_TRUE))]
    pub all: Option<bool>,
}

const ONE_CHOICE: &str =
    "access.namespaces needs exactly one of names, selector, all: keep the one that is meant";
const EMPTY_SELECTOR: &str = "access.namespaces.selector is empty and would select every namespace: name labels, or write all: true";
const ALL_IS_TRUE: &str =
    "access.namespaces.all can only be true: remove it, or use names or selector";

/// Kinds that have credentials issued.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[schemars(inline)]
pub enum IssuingKind {
    /// A machine token.
    MachineToken,
}

/// What is known about the namespace of a resource.
#[derive(Debug, Clone, Copy)]
pub struct Namespace<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
}

/// What a connection allows to a resource it admits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grant {
    /// How long the credential may live, which is also its life if the resource says nothing.
    pub max_lifetime: Option<Span>,
}

/// Why a connection does not serve a resource. Says nothing about the connection: whoever asks may not
/// know more than that it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No rule admits namespace and kind.
    #[error(
        "the connection does not admit this namespace and kind: ask its owner for an access rule"
    )]
    NotAdmitted,
    /// A scope is above the ceiling.
    #[error(
        "spec.scopes ({scope}) is more than the connection grants: remove it, or ask its owner for an access rule with it"
    )]
    Scope {
        /// The first scope that is not granted.
        scope: String,
    },
    /// The wanted life is above the ceiling.
    #[error(
        "spec.expiresAfter ({wanted}) is longer than the connection grants: shorten it, or ask its owner"
    )]
    Lifetime {
        /// The wanted life.
        wanted: Span,
    },
}

/// Whether a resource may have what it asks for.
///
/// A cluster-scoped connection without rules admits nobody; a namespaced one without rules sets no
/// ceiling.
pub fn admit(
    rules: &[AccessRule],
    cluster_scoped: bool,
    namespace: &Namespace<'_>,
    kind: IssuingKind,
    scopes: &[String],
    expires_after: Option<&Span>,
) -> Result<Grant, Denied> {
    if rules.is_empty() && !cluster_scoped {
        return Ok(Grant::default());
    }
    let rule = rules
        .iter()
        .find(|rule| rule.admits(cluster_scoped, namespace, kind))
        .ok_or(Denied::NotAdmitted)?;
    rule.grant(scopes, expires_after)
}

impl AccessRule {
    fn admits(&self, cluster_scoped: bool, namespace: &Namespace<'_>, kind: IssuingKind) -> bool {
        let here = match &self.namespaces {
            Some(namespaces) => cluster_scoped && namespaces.include(namespace),
            None => !cluster_scoped,
        };
        here && self
            .kinds
            .as_ref()
            .is_none_or(|kinds| kinds.contains(&kind))
    }

    fn grant(&self, scopes: &[String], expires_after: Option<&Span>) -> Result<Grant, Denied> {
        let granted = self.scopes.as_deref().unwrap_or_default();
        if let Some(scope) = scopes.iter().find(|scope| !granted.contains(scope)) {
            return Err(Denied::Scope {
                scope: scope.clone(),
            });
        }
        let max_lifetime = self.max_lifetime.clone();
        match (expires_after, &max_lifetime) {
            (Some(wanted), Some(max)) if wanted.duration() > max.duration() => {
                Err(Denied::Lifetime {
                    wanted: wanted.clone(),
                })
            }
            _ => Ok(Grant { max_lifetime }),
        }
    }

    /// The rules of this part, for objects the API server let through.
    pub(super) fn validate(&self, cluster_scoped: bool) -> Result<(), Invalid> {
        match &self.namespaces {
            Some(_) if !cluster_scoped => Err(Invalid::new("spec.access", NAMESPACES_REFUSED)),
            None if cluster_scoped => Err(Invalid::new("spec.access", NAMESPACES_REQUIRED)),
            Some(namespaces) => namespaces.validate(),
            None => Ok(()),
        }
    }
}

pub(super) const NAMESPACES_REQUIRED: &str = "access.namespaces is required in every rule of a ClusterConnection: write names, selector or all: true";
pub(super) const NAMESPACES_REFUSED: &str =
    "access.namespaces has no meaning on a Connection, which serves its own namespace: remove it";

impl Namespaces {
    /// A choice that is not exactly one, or that cannot be understood, includes nothing.
    fn include(&self, namespace: &Namespace<'_>) -> bool {
        match (&self.names, &self.selector, self.all) {
            (Some(names), None, None) => names.iter().any(|name| name == namespace.name),
            (None, Some(selector), None) => Selector::try_from(selector.clone())
                .is_ok_and(|s| !s.selects_all() && s.matches(namespace.labels)),
            (None, None, Some(all)) => all,
            _ => false,
        }
    }

    fn validate(&self) -> Result<(), Invalid> {
        let refuse = |message| Err(Invalid::new("spec.access", message));
        match (&self.names, &self.selector, self.all) {
            (Some(_), None, None) | (None, None, Some(true)) => Ok(()),
            (None, None, Some(false)) => refuse(ALL_IS_TRUE),
            (None, Some(selector), None) => match Selector::try_from(selector.clone()) {
                Ok(selector) if !selector.selects_all() => Ok(()),
                _ => refuse(EMPTY_SELECTOR),
            },
            _ => refuse(ONE_CHOICE),
        }
    }
}

/// A label selector with bounds.
fn selector_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "matchLabels": {
                "description": "Labels that a namespace must have with these values.",
                "type": "object",
                "maxProperties": 16,
                "additionalProperties": { "type": "string", "maxLength": 63 },
            },
            "matchExpressions": {
                "description": "Requirements that a namespace must meet, all of them.",
                "type": "array",
                "maxItems": 16,
                "x-kubernetes-list-type": "atomic",
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {
                            "description": "The name of the label.",
                            "type": "string",
                            "maxLength": 317,
                        },
                        "operator": {
                            "description": "How the label compares with `values`.",
                            "type": "string",
                            "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                        },
                        "values": {
                            "description": "What it is compared with; for In and NotIn only.",
                            "type": "array",
                            "maxItems": 64,
                            "x-kubernetes-list-type": "atomic",
                            "items": { "type": "string", "maxLength": 63 },
                        },
                    },
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn ask(
        rules: &Value,
        cluster_scoped: bool,
        namespace: (&str, &str),
        scopes: &[&str],
        expires_after: Option<&str>,
    ) -> Result<Grant, Denied> {
        let rules: Vec<AccessRule> = serde_json::from_value(rules.clone()).unwrap();
        let labels = BTreeMap::from([("team".to_owned(), namespace.1.to_owned())]);
        let namespace = Namespace {
            name: namespace.0,
            labels: &labels,
        };
        let scopes: Vec<String> = scopes.iter().map(|s| (*s).to_owned()).collect();
        let expires_after = expires_after.map(|text| Span::parse(text).unwrap());
        admit(
            &rules,
            cluster_scoped,
            &namespace,
            IssuingKind::MachineToken,
            &scopes,
            expires_after.as_ref(),
        )
    }

    fn granted(max: Option<&str>) -> Grant {
        Grant {
            max_lifetime: max.map(|text| Span::parse(text).unwrap()),
        }
    }

    #[test]
    fn a_60_a_cluster_connection_admits_only_whom_a_rule_names() {
        let web = ("web", "blue");
        for (rules, admitted) in [
            (json!([]), false),
            (json!([{"scopes": ["org.read"]}]), false),
            (json!([{"namespaces": {}}]), false),
            (json!([{"namespaces": {"all": false}}]), false),
            (json!([{"namespaces": {"all": true}}]), true),
            (json!([{"namespaces": {"names": []}}]), false),
            (json!([{"namespaces": {"names": ["db", "web"]}}]), true),
            (json!([{"namespaces": {"names": ["webs"]}}]), false),
            (
                json!([{"namespaces": {"names": ["web"], "all": true}}]),
                false,
            ),
            (json!([{"namespaces": {"selector": {}}}]), false),
            (
                json!([{"namespaces": {"selector": {"matchLabels": {"team": "blue"}}}}]),
                true,
            ),
            (
                json!([{"namespaces": {"selector": {"matchLabels": {"team": "red"}}}}]),
                false,
            ),
            (
                json!([{"namespaces": {"selector": {"matchExpressions":
                    [{"key": "team", "operator": "Like", "values": ["b"]}]}}}]),
                false,
            ),
            (json!([{"namespaces": {"all": true}, "kinds": []}]), false),
            (
                json!([{"namespaces": {"all": true}, "kinds": ["MachineToken"]}]),
                true,
            ),
        ] {
            let answer = ask(&rules, true, web, &[], None);
            let expected = if admitted {
                Ok(granted(None))
            } else {
                Err(Denied::NotAdmitted)
            };
            assert_eq!(answer, expected, "{rules}");
        }
    }

    #[test]
    fn the_first_rule_that_admits_decides_alone() {
        let rules = json!([
            {"namespaces": {"names": ["web"]}, "scopes": ["org.read"], "maxLifetime": "30d"},
            {"namespaces": {"all": true}, "scopes": ["org.read", "org.admin"]},
        ]);
        let refused = Err(Denied::Scope {
            scope: "org.admin".to_owned(),
        });
        assert_eq!(
            ask(&rules, true, ("web", ""), &["org.admin"], None),
            refused
        );
        assert_eq!(
            ask(&rules, true, ("db", ""), &["org.admin"], None),
            Ok(granted(None))
        );
        assert_eq!(
            ask(&rules, true, ("web", ""), &["org.read"], None),
            Ok(granted(Some("30d")))
        );
    }

    #[test]
    fn a_105_scopes_and_lifetime_have_ceilings() {
        let rules = json!([{"namespaces": {"all": true}, "maxLifetime": "30d"}]);
        let scope = Err(Denied::Scope {
            scope: "org.read".to_owned(),
        });
        assert_eq!(ask(&rules, true, ("web", ""), &["org.read"], None), scope);
        assert_eq!(
            ask(&rules, true, ("web", ""), &[], Some("720h")),
            Ok(granted(Some("30d")))
        );
        let longer = Err(Denied::Lifetime {
            wanted: Span::parse("721h").unwrap(),
        });
        assert_eq!(ask(&rules, true, ("web", ""), &[], Some("721h")), longer);
    }

    #[test]
    fn a_namespaced_connection_has_ceilings_only_if_it_has_rules() {
        let web = ("web", "");
        assert_eq!(
            ask(&json!([]), false, web, &["org.admin"], Some("999d")),
            Ok(granted(None))
        );
        let rules = json!([{"scopes": ["org.read"], "maxLifetime": "90d"}]);
        assert_eq!(
            ask(&rules, false, web, &["org.read"], None),
            Ok(granted(Some("90d")))
        );
        assert!(matches!(
            ask(&rules, false, web, &["org.admin"], None),
            Err(Denied::Scope { .. })
        ));
        let foreign = json!([{"namespaces": {"all": true}}]);
        assert_eq!(
            ask(&foreign, false, web, &[], None),
            Err(Denied::NotAdmitted)
        );
    }
}
