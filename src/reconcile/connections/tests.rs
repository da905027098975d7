//! Which connection a place means, and when it may be used for it.

use super::*;
use crate::ledger::fixtures::{NOON, place};

fn connections() -> Connections {
    let dial: Dial = Arc::new(|_, _| Err(Obstacle::new(Reason::SpecInvalid, "nothing is dialled")));
    let clock = Clock::runtime(NOON);
    Connections::new(dial, HostRules::default(), clock, Metrics::new(false))
}

fn checked(version: &str) -> Checked {
    Checked {
        place: place(),
        provider: None,
        obstacle: None,
        version: version.to_owned(),
        timeout: Duration::from_secs(5),
    }
}

fn key() -> ConnectionKey {
    ConnectionKey::of(&place(), "team-a").unwrap()
}

fn refusal(connections: &Connections, place: &Place) -> String {
    let refused = connections.at(place, "team-a").unwrap_err();
    assert_eq!(refused.reason, Reason::ReferenceMissing);
    refused.message
}

#[tokio::test]
async fn a_place_names_its_connection_by_kind_and_name() {
    let named = |connection: &str| {
        let place = Place {
            connection: connection.to_owned(),
            ..place()
        };
        ConnectionKey::of(&place, "team-a")
    };
    let shared = ConnectionKey::new(ConnectionKind::ClusterConnection, "team-b", "acme");
    assert_eq!(
        named("ClusterConnection/acme"),
        Some(shared),
        "whatever the namespace"
    );
    let own = ConnectionKey::new(ConnectionKind::Connection, "team-a", "acme");
    assert_eq!(named("Connection/acme"), Some(own));
    let foreign = ConnectionKey::new(ConnectionKind::Connection, "team-b", "acme");
    assert_ne!(named("Connection/acme"), Some(foreign));
    for nonsense in ["", "acme", "Secret/acme"] {
        assert_eq!(named(nonsense), None, "{nonsense}");
    }
}

#[tokio::test]
async fn the_admin_credential_goes_only_to_where_the_credential_was_issued() {
    let connections = connections();
    assert!(refusal(&connections, &place()).contains("does not exist"));
    connections.record(key(), checked("1"));
    assert!(refusal(&connections, &place()).contains("has no credential"));
    for elsewhere in [
        Place {
            endpoint: "https://other.example".to_owned(),
            ..place()
        },
        Place {
            organization: "other".to_owned(),
            ..place()
        },
    ] {
        assert!(refusal(&connections, &elsewhere).contains("points elsewhere now"));
    }
    let again = Place {
        uid: "made anew".to_owned(),
        ..place()
    };
    assert!(
        refusal(&connections, &again).contains("has no credential"),
        "the same place"
    );
    let unknown = Place {
        connection: "acme".to_owned(),
        ..place()
    };
    assert!(refusal(&connections, &unknown).contains("is unknown"));
}

#[tokio::test]
async fn the_breaker_holds_until_the_connection_changes() {
    let connections = connections();
    let reason = || {
        connections
            .get(&key())
            .unwrap()
            .obstacle
            .map(|obstacle| obstacle.reason)
    };
    connections.trip(&place(), "team-a");
    connections.record(key(), checked("1"));
    assert_eq!(reason(), None, "nothing was known to break");
    connections.trip(&place(), "team-a");
    assert_eq!(reason(), Some(Reason::BreakerOpen));
    connections.record(key(), checked("1"));
    assert_eq!(
        reason(),
        Some(Reason::BreakerOpen),
        "another check of the same"
    );
    connections.record(key(), checked("2"));
    assert_eq!(reason(), None);
    connections.record(key(), checked("1"));
    connections.forget(&key());
    assert!(connections.get(&key()).is_none());
}

#[tokio::test]
async fn an_obstacle_that_is_known_is_not_hidden_by_the_breaker() {
    let connections = connections();
    let known = Obstacle::new(Reason::ProviderUnavailable, "it does not answer");
    let hindered = Checked {
        obstacle: Some(known.clone()),
        ..checked("1")
    };
    connections.record(key(), hindered);
    connections.trip(&place(), "team-a");
    assert_eq!(connections.get(&key()).unwrap().obstacle, Some(known));
}

#[tokio::test]
async fn an_unknown_connection_has_the_usual_timeout() {
    let connections = connections();
    assert_eq!(
        connections.timeout(&place(), "team-a"),
        Duration::from_secs(30)
    );
    connections.record(key(), checked("1"));
    assert_eq!(
        connections.timeout(&place(), "team-a"),
        Duration::from_secs(5)
    );
}
