//! The door in front of a budget: one caller at a time stands in it, the others wait in their lanes.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// Why somebody calls. The order is the order of going first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Revocation and emergencies.
    Revoke,
    /// A first credential, or a resource that goes.
    Issue,
    /// Routine rotation.
    Rotate,
    /// Drift, listings, whether the admin credential still works.
    Check,
}

const LANES: [Lane; 4] = [Lane::Revoke, Lane::Issue, Lane::Rotate, Lane::Check];

/// Whose turn it is, over and over. A lane with nobody in it gives its turn to the first lane that has
/// somebody. So a quarter is reserved for checks, an eighth each for issuing and rotation, and revocation
/// has the rest, and all that the others leave.
const ROTA: [Lane; 8] = [
    Lane::Revoke,
    Lane::Check,
    Lane::Revoke,
    Lane::Issue,
    Lane::Revoke,
    Lane::Check,
    Lane::Revoke,
    Lane::Rotate,
];

#[derive(Debug, Default)]
pub(super) struct Door {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    occupied: bool,
    round: usize,
    waiting: [VecDeque<oneshot::Sender<Turn>>; LANES.len()],
}

/// Standing in the door. Dropping it lets the next one in.
#[derive(Debug)]
pub(super) struct Turn(Arc<Door>);

impl Door {
    pub(super) async fn turn(self: &Arc<Self>, lane: Lane) -> Turn {
        let called = {
            let mut queue = self.queue();
            if !queue.occupied {
                queue.occupied = true;
                return Turn(self.clone());
            }
            let (call, called) = oneshot::channel();
            queue.waiting[lane as usize].push_back(call);
            called
        };
        match called.await {
            Ok(turn) => turn,
            // Nobody drops a caller from the queue but `next`, which calls it. Were that to change, this
            // one would go ahead out of turn instead of waiting for ever.
            Err(_) => Turn(self.clone()),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = self.0.queue().next();
        if let Some(call) = next {
            // A caller that went away between the two lines gets its turn back here, and it is dropped
            // in its place: the call after that is made by that drop.
            drop(call.send(Self(self.0.clone())));
        }
    }
}

impl Queue {
    /// Who goes next; frees the door if nobody waits.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let preferred = ROTA[self.round % ROTA.len()];
        self.round = self.round.wrapping_add(1);
        let next = [preferred]
            .into_iter()
            .chain(LANES)
            .find_map(|lane| first_still_there(&mut self.waiting[lane as usize]));
        self.occupied = next.is_some();
        next
    }
}

/// Those that went away are passed over here: were each called in vain, each would call the next from
/// within its own drop, one stack frame deeper.
fn first_still_there(lane: &mut VecDeque<oneshot::Sender<Turn>>) -> Option<oneshot::Sender<Turn>> {
    std::iter::from_fn(|| lane.pop_front()).find(|call| !call.is_closed())
}
