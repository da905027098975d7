//! The table.

use std::time::Duration;

use futures::future::LocalBoxFuture;
use handover::{
    api::{annotations, condition::Reason},
    simulator::{Fault, FaultBody, Operation, RateLimit, RetryAfter, StatusFault, Wait},
};
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use super::{CANARY, End, Row, Says, Who};
use crate::{place::Place, provider::ADMIN_TOKEN, world::SYSTEM};

/// A second token like the first.
fn good(_: &Place) -> Value {
    json!({})
}

/// What `late` says while its connection is in trouble for this reason.
macro_rules! not_ready {
    ($reason:literal) => {
        Says {
            who: Who::Late,
            reason: Reason::ConnectionNotReady,
            words: &["ClusterConnection/{}", $reason, "see its conditions"],
        }
    };
}

/// What the connection says.
macro_rules! connection {
    ($reason:ident, $($word:literal),+) => {
        Says { who: Who::Connection, reason: Reason::$reason, words: &[$($word),+] }
    };
}

macro_rules! late {
    ($reason:ident, $($word:literal),+) => {
        Says { who: Who::Late, reason: Reason::$reason, words: &[$($word),+] }
    };
}

macro_rules! steady {
    ($reason:ident, $($word:literal),+) => {
        Says { who: Who::Steady, reason: Reason::$reason, words: &[$($word),+] }
    };
}

macro_rules! step {
    (|$place:ident| $body:expr) => {
        |$place| {
            Box::pin(async move {
                $body;
            })
        }
    };
}

/// What is asked for is itself the mistake, or the operator mends it by itself.
fn nothing(_: &Place) -> LocalBoxFuture<'_, ()> {
    Box::pin(async {})
}

fn status(code: u16, body: FaultBody) -> Fault {
    Fault::Status(StatusFault {
        code,
        body,
        committed: false,
    })
}

/// 429, with the wish that nothing is asked for two seconds.
fn throttled() -> Fault {
    Fault::RateLimit(RateLimit {
        limit: 0,
        window: Wait(Duration::from_secs(2)),
        retry_after: Some(RetryAfter::Seconds),
    })
}

/// Every mistake.
pub(super) static ROWS: &[Row] = &[
    Row {
        name: "auth-missing",
        spoil: step!(|place| place.delete_auth().await),
        late: Some(good),
        says: &[
            connection!(
                ReferenceMissing,
                "secretRef",
                "handover-system/{} does not exist",
                "create it",
                "tokenSecret"
            ),
            not_ready!("ReferenceMissing"),
        ],
        creates: 0,
        mend: step!(|place| place.write_auth(ADMIN_TOKEN.as_bytes()).await),
        end: End::Delivered,
    },
    Row {
        name: "auth-empty",
        spoil: step!(|place| place.write_auth(b"").await),
        late: Some(good),
        says: &[
            connection!(
                SpecInvalid,
                "handover-system/{}",
                "tokenSecret",
                "is empty",
                "store the admin token"
            ),
            not_ready!("SpecInvalid"),
        ],
        creates: 0,
        mend: step!(|place| place.write_auth(ADMIN_TOKEN.as_bytes()).await),
        end: End::Delivered,
    },
    Row {
        name: "auth-with-newline",
        spoil: step!(|place| place
            .write_auth(format!("{ADMIN_TOKEN}\n").as_bytes())
            .await),
        late: Some(good),
        says: &[],
        creates: 1,
        mend: nothing,
        end: End::Delivered,
    },
    Row {
        name: "auth-with-control",
        spoil: step!(|place| place.write_auth(format!("{CANARY}\u{7}x").as_bytes()).await),
        late: Some(good),
        says: &[
            connection!(
                SpecInvalid,
                "handover-system/{}",
                "tokenSecret",
                "character",
                "store the token alone"
            ),
            not_ready!("SpecInvalid"),
        ],
        creates: 0,
        mend: step!(|place| place.write_auth(ADMIN_TOKEN.as_bytes()).await),
        end: End::Delivered,
    },
    Row {
        name: "connection-missing",
        spoil: nothing,
        late: Some(|_| json!({ "connectionRef": { "name": "later" } })),
        says: &[late!(
            ReferenceMissing,
            "spec.connectionRef",
            "ClusterConnection/later",
            "does not exist",
            "create it"
        )],
        creates: 0,
        mend: step!(|place| place.connect("later", json!({})).await.unwrap()),
        end: End::Delivered,
    },
    Row {
        name: "http-to-a-foreign-host",
        spoil: step!(|place| {
            place
                .change_connection(json!({ "url": "http://errova.example.com/api" }))
                .await
                .unwrap()
        }),
        late: Some(good),
        says: &[
            connection!(
                SpecInvalid,
                "spec.url",
                "https",
                "--allow-plain-http errova.example.com"
            ),
            not_ready!("SpecInvalid"),
        ],
        creates: 0,
        mend: step!(|place| {
            place
                .change_connection(json!({ "url": place.provider.url() }))
                .await
                .unwrap()
        }),
        end: End::Delivered,
    },
    Row {
        name: "provider-down",
        spoil: step!(|place| place.provider.go_down().await),
        late: Some(good),
        says: &[
            not_ready!("ProviderUnavailable"),
            connection!(ProviderUnavailable, "could not be reached"),
        ],
        creates: 0,
        mend: step!(|place| place.provider.come_back().await),
        end: End::Delivered,
    },
    Row {
        name: "provider-401",
        spoil: step!(|place| place.write_auth(CANARY.as_bytes()).await),
        late: Some(good),
        says: &[
            connection!(
                ProviderRejected,
                "(401)",
                "valid machine token",
                "org.admin",
                "Secret"
            ),
            not_ready!("ProviderRejected"),
        ],
        creates: 0,
        mend: step!(|place| place.write_auth(ADMIN_TOKEN.as_bytes()).await),
        end: End::Delivered,
    },
    Row {
        name: "provider-403",
        spoil: step!(|place| place
            .provider
            .strike(Operation::TokenCreate, status(403, FaultBody::Own))),
        late: Some(good),
        says: &[late!(
            ProviderRejected,
            "admin credential",
            "(403)",
            "give it the right",
            "next attempt"
        )],
        creates: 2,
        mend: step!(|place| place.provider.errova.clear_faults()),
        end: End::Delivered,
    },
    Row {
        name: "provider-429",
        spoil: step!(|place| place.provider.strike(Operation::TokenCreate, throttled())),
        late: Some(good),
        says: &[late!(RateLimited, "(429)", "next attempt")],
        creates: 2,
        mend: step!(|place| place.provider.errova.clear_faults()),
        end: End::Delivered,
    },
    Row {
        name: "provider-html",
        spoil: step!(|place| place
            .provider
            .strike(Operation::TokenCreate, status(502, FaultBody::Html))),
        late: Some(good),
        says: &[late!(
            AmbiguousCreate,
            "2 creates",
            "maxUnresolved",
            "status.suspectedOrphans",
            "handover.dev/resolved-attempts"
        )],
        creates: 2,
        mend: step!(|place| {
            place.provider.errova.clear_faults();
            place.change("late", json!({ "metadata": { "annotations": { annotations::RESOLVED_ATTEMPTS: "1,2" } } })).await;
        }),
        end: End::Delivered,
    },
    Row {
        name: "provider-truncated",
        spoil: step!(|place| place
            .provider
            .strike(Operation::TokenCreate, Fault::Truncate(10))),
        late: Some(good),
        says: &[
            late!(
                BreakerOpen,
                "without a readable id and value",
                "until its spec or its credential changes"
            ),
            connection!(BreakerOpen, "until its spec or its credential changes"),
        ],
        creates: 1,
        mend: step!(|place| {
            place.provider.errova.clear_faults();
            resolve_by_hand(place).await;
            place
                .write_auth(format!("{ADMIN_TOKEN}\n").as_bytes())
                .await;
        }),
        end: End::Delivered,
    },
    Row {
        name: "provider-no-value",
        spoil: step!(|place| place
            .provider
            .strike(Operation::TokenCreate, Fault::NoValue)),
        late: Some(good),
        says: &[
            late!(
                BreakerOpen,
                "without a readable id and value",
                "until its spec or its credential changes"
            ),
            connection!(BreakerOpen, "until its spec or its credential changes"),
        ],
        creates: 1,
        mend: step!(|place| {
            place.provider.errova.clear_faults();
            place
                .write_auth(format!("{ADMIN_TOKEN}\n").as_bytes())
                .await;
        }),
        end: End::Delivered,
    },
    Row {
        name: "scope-above-the-rule",
        spoil: nothing,
        late: Some(|_| json!({ "scopes": ["org.read", "org.write"] })),
        says: &[late!(
            NotAllowed,
            "spec.scopes",
            "org.write",
            "remove it",
            "access rule"
        )],
        creates: 0,
        mend: step!(|place| place
            .change("late", json!({ "spec": { "scopes": ["org.read"] } }))
            .await),
        end: End::Delivered,
    },
    Row {
        name: "rule-without-scopes",
        spoil: step!(
            |place| grant(place, json!([{ "namespaces": { "names": [place.name] } }])).await
        ),
        late: Some(good),
        says: &[late!(NotAllowed, "spec.scopes", "org.read", "access rule")],
        creates: 0,
        mend: step!(|place| grant(place, rule(&place.name)).await),
        end: End::Delivered,
    },
    Row {
        name: "namespace-not-admitted",
        spoil: step!(|place| grant(place, rule("elsewhere")).await),
        late: Some(good),
        says: &[late!(
            NotAllowed,
            "does not admit this namespace",
            "ask its owner",
            "access rule"
        )],
        creates: 0,
        mend: step!(|place| grant(place, rule(&place.name)).await),
        end: End::Delivered,
    },
    Row {
        name: "namespace-not-granted",
        spoil: nothing,
        late: Some(good),
        says: &[late!(
            NamespaceNotGranted,
            "namespace {}",
            "rbac.namespaces",
            "RoleBinding",
            "handover-tenant"
        )],
        creates: 0,
        mend: step!(|place| bind(place).await),
        end: End::LateOnly,
    },
    Row {
        name: "target-foreign",
        spoil: step!(|place| place.make_secret("late", json!({})).await),
        late: Some(good),
        says: &[late!(TargetForeign, "Secret", "spec.secret.name", "delete")],
        creates: 0,
        mend: step!(|place| place.delete_secret("late").await),
        end: End::Delivered,
    },
    Row {
        name: "target-shared",
        spoil: nothing,
        late: Some(|_| json!({ "secret": { "name": "steady" } })),
        says: &[late!(
            TargetForeign,
            "MachineToken steady",
            "spec.secret.name"
        )],
        creates: 0,
        mend: step!(|place| place
            .change("late", json!({ "spec": { "secret": { "name": "own" } } }))
            .await),
        end: End::Delivered,
    },
    Row {
        name: "target-shared-then-free",
        spoil: nothing,
        late: Some(|_| json!({ "secret": { "name": "steady" } })),
        says: &[late!(
            TargetForeign,
            "MachineToken steady",
            "spec.secret.name"
        )],
        creates: 0,
        mend: step!(|place| place.delete("steady").await),
        end: End::SteadyGone,
    },
    Row {
        name: "target-immutable",
        spoil: step!(|place| place
            .change_secret("steady", json!({ "immutable": true }))
            .await),
        late: None,
        says: &[steady!(
            Delivered,
            "immutable",
            "delete it",
            "TargetRejected"
        )],
        creates: 0,
        mend: step!(|place| place.delete_secret("steady").await),
        end: End::Delivered,
    },
    Row {
        name: "target-deleted",
        spoil: step!(|place| place.delete_secret("steady").await),
        late: None,
        says: &[],
        creates: 0,
        mend: nothing,
        end: End::Delivered,
    },
    Row {
        name: "target-emptied",
        spoil: step!(|place| place.change_secret("steady", json!({ "data": null })).await),
        late: None,
        says: &[],
        creates: 0,
        mend: nothing,
        end: End::Delivered,
    },
    Row {
        name: "target-edited",
        spoil: step!(|place| place
            .change_secret("steady", json!({ "data": { "token": "eA==" } }))
            .await),
        late: None,
        says: &[],
        creates: 0,
        mend: nothing,
        end: End::Delivered,
    },
    Row {
        name: "ledger-deleted",
        spoil: step!(|place| {
            let (name, _) = place.ledgers().await.remove(0);
            let ledgers = place.world.secrets_of(SYSTEM);
            ledgers
                .delete(&name, &DeleteParams::default())
                .await
                .unwrap();
            place
                .until(super::SECONDS, "rebuilt", async || {
                    place.ledgers().await.len() == 1
                })
                .await;
        }),
        late: None,
        says: &[],
        creates: 0,
        mend: nothing,
        end: End::Delivered,
    },
    Row {
        name: "connection-deleted-first",
        spoil: step!(|place| {
            place.delete_connection().await;
            let told = async || {
                let ready = place.ready("steady").await;
                ready.is_some_and(|c| {
                    c.message.contains("does not exist; create it") && c.status == "True"
                })
            };
            place
                .until(super::SECONDS, "the token that is in use says so", told)
                .await;
            place.delete("steady").await;
        }),
        late: None,
        says: &[steady!(
            Deleting,
            "not revoked yet",
            "ClusterConnection/{} does not exist",
            "make it again"
        )],
        creates: 0,
        mend: step!(|place| {
            gone(place).await;
            place.connect(&place.name, json!({})).await.unwrap();
        }),
        end: End::SteadyGone,
    },
    Row {
        name: "auth-deleted-first",
        spoil: step!(|place| {
            place.delete_auth().await;
            let missing = async || {
                place
                    .connection_ready()
                    .await
                    .is_some_and(|c| c.status == "False")
            };
            place.until(super::SECONDS, "noticed", missing).await;
            place.delete("steady").await;
        }),
        late: None,
        says: &[steady!(
            Deleting,
            "not revoked yet",
            "secretRef",
            "handover-system/{} does not exist",
            "create it"
        )],
        creates: 0,
        mend: step!(|place| {
            gone(place).await;
            place.write_auth(ADMIN_TOKEN.as_bytes()).await;
        }),
        end: End::SteadyGone,
    },
];

/// The finalizer does not wait longer than `deletionTimeout`, whatever the provider does.
async fn gone(place: &Place) {
    let gone = async || place.token("steady").await.is_none();
    place
        .until(super::A_MINUTE, "the resource is gone", gone)
        .await;
    assert_eq!(place.ledgers().await.len(), 1, "the duty stays");
}

fn rule(namespace: &str) -> Value {
    json!([{ "namespaces": { "names": [namespace] }, "scopes": ["org.read"] }])
}

/// Changes the access rules, and waits until the operator knows.
async fn grant(place: &Place, access: Value) {
    let changed = place
        .change_connection(json!({ "access": access }))
        .await
        .unwrap();
    let seen = async || {
        let ready = place.connection_ready().await;
        ready.is_some_and(|condition| condition.observed_generation == changed.metadata.generation)
    };
    place
        .until(super::SECONDS, "the rules are seen", seen)
        .await;
}

/// As the message says.
async fn bind(place: &Place) {
    let binding = json!({
        "metadata": { "name": "handover-tenant" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "handover-tenant" },
        "subjects": [{ "kind": "ServiceAccount", "name": "handover", "namespace": SYSTEM }],
    });
    let binding: RoleBinding = serde_json::from_value(binding).unwrap();
    place
        .namespaced()
        .create(&PostParams::default(), &binding)
        .await
        .unwrap();
}

/// A person finds the token by its label at the provider and deletes it there, then says so.
async fn resolve_by_hand(place: &Place) {
    let label = &place.status("late").await.suspected_orphans.unwrap()[0].label;
    let admin = crate::provider::Caller::of(&place.provider);
    admin.delete_labelled(ADMIN_TOKEN, label).await;
    let settled = json!({ annotations::RESOLVED_ATTEMPTS: "1" });
    place
        .change("late", json!({ "metadata": { "annotations": settled } }))
        .await;
}
