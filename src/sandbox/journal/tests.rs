//! A story that is told in the wrong order is noticed.

use super::*;

fn created(id: &str, attempt: u64) -> What {
    What::Created(Creation {
        attempt,
        id: id.to_owned(),
        label: String::new(),
        answered: true,
    })
}

fn authenticated(id: &str) -> What {
    What::Authenticated(id.to_owned())
}

fn journal(whats: Vec<What>) -> Journal {
    let entries = whats.into_iter().zip(0..);
    let entry = |(what, second)| Entry {
        at: Timestamp::from_second(second).unwrap(),
        what,
    };
    Journal(entries.map(entry).collect())
}

fn whole() -> Vec<What> {
    vec![
        What::Rehearsed,
        What::LedgerWritten,
        created("a", 1),
        What::LedgerWritten,
        authenticated("a"),
        What::LedgerWritten,
        What::TargetWritten,
    ]
}

#[test]
fn a_whole_issue_has_every_step_in_its_place() {
    let issue = journal(whole()).issue(1).unwrap();
    let second = |at: Timestamp| at.as_second();
    assert_eq!(issue.rehearsed.map(second), Some(0));
    assert_eq!(
        [
            issue.armed,
            issue.created,
            issue.filled,
            issue.verified,
            issue.promoted,
            issue.delivered
        ]
        .map(second),
        [1, 2, 3, 4, 5, 6]
    );
    assert_eq!(issue.creation.id, "a");
}

#[test]
fn an_issue_without_one_of_its_steps_is_untrue() {
    for missing in 1..whole().len() {
        let mut whats = whole();
        whats.remove(missing);
        assert!(journal(whats).issue(1).is_err(), "without step {missing}");
    }
}

#[test]
fn an_issue_with_two_steps_exchanged_is_untrue() {
    for first in 1..whole().len() - 1 {
        let mut whats = whole();
        whats.swap(first, first + 1);
        assert!(journal(whats).issue(1).is_err(), "{first} and the next");
    }
}

#[test]
fn a_create_that_was_sent_twice_is_untrue() {
    let mut whats = whole();
    whats.insert(3, created("b", 1));
    assert!(journal(whats).issue(1).is_err());
}

#[test]
fn nothing_ends_before_it_is_condemned_and_its_successor_proven() {
    let deleted = || What::Deleted("a".to_owned());
    let end = vec![authenticated("b"), What::LedgerWritten, deleted()];
    let end = journal(end).revocation("a", Some("b")).unwrap();
    let proven = end.proven.unwrap();
    assert!(proven < end.marked && end.marked < end.deleted);
    for untrue in [
        vec![What::LedgerWritten, deleted()],
        vec![What::LedgerWritten, authenticated("b"), deleted()],
        vec![authenticated("b"), deleted(), What::LedgerWritten],
        vec![authenticated("a"), What::LedgerWritten, deleted()],
    ] {
        assert!(journal(untrue).revocation("a", Some("b")).is_err());
    }
}

#[test]
fn only_what_the_operator_wrote_counts() {
    let line = |user: &str, uri: &str, code: u16| -> AuditLine {
        serde_json::from_value(serde_json::json!({
            "requestURI": uri,
            "verb": "create",
            "user": {"username": user},
            "objectRef": {"resource": "secrets", "namespace": "web", "name": "ci"},
            "responseStatus": {"code": code},
            "stageTimestamp": "2026-11-22T10:00:00.123456Z",
        }))
        .unwrap()
    };
    let ours = "system:serviceaccount:handover-system:handover";
    let what = |line: AuditLine| written(&line, ("web", "ci")).map(|entry| entry.what);
    assert_eq!(what(line(ours, "/x", 201)), Some(What::TargetWritten));
    assert_eq!(
        what(line(ours, "/x?dryRun=All", 201)),
        Some(What::Rehearsed)
    );
    assert_eq!(what(line(ours, "/x", 409)), None);
    assert_eq!(what(line("admin", "/x", 201)), None);
    let other = written(&line(ours, "/x", 201), ("web", "other"));
    assert_eq!(other, None);
}
