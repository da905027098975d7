//! One table per rule, one row per case; then what holds in every world.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::*;
use crate::ledger::fixtures::NOON;

mod deletion;
mod gates;
mod issuing;
mod pending;
mod properties;
mod schedule;
mod simulator;
mod spread;
mod target;

/// A sentence, a world, what the plan says at noon, and when it wakes up.
type Row = (&'static str, World, &'static str, Option<Timestamp>);

/// Every row of a table, with all that differ in one message.
fn check(rows: Vec<Row>) {
    let mut wrong = String::new();
    for (case, world, expected, wake) in rows {
        let plan = plan(&world, NOON);
        let said = say(&plan);
        if said != expected || plan.wake != wake {
            let found = plan.wake;
            writeln!(
                wrong,
                "{case}: {said} at {found:?}, not {expected} at {wake:?}"
            )
            .unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// A plan in a few words: the effect with its cause, or why there is none.
fn say(plan: &Plan) -> String {
    match (&plan.effect, &plan.because) {
        (Some(Effect::Issue(order)), _) => format!("Issue {}", order.cause.as_str()),
        (Some(Effect::Reject(_, why)), _) => format!("Reject {why:?}"),
        (Some(Effect::Revoke(condemned)), _) => format!("Revoke {}", condemned.id()),
        (Some(effect), _) => effect.name().to_owned(),
        (None, Because::Blocked(obstacle)) => format!("Blocked {}", obstacle.reason),
        (None, Because::GatesClosed(closed)) => {
            format!(
                "Closed {}",
                crate::reconcile::verdict::waiting_for(closed).join("; ")
            )
        }
        (None, Because::Leaving(obstacle)) => match obstacle {
            Some(obstacle) => format!("Leaving {}", obstacle.reason),
            None => "Leaving".to_owned(),
        },
        (None, Because::Overlap(_)) => "Overlap".to_owned(),
        (None, because) => format!("{because:?}"),
    }
}
