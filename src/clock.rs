//! The only question for the time. Everything else takes it as an argument.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::moment::after;

/// Where "now" comes from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    /// The clock of the machine, corrected by what the API server's answers say.
    System {
        /// Milliseconds that are added.
        ahead: AtomicI64,
        /// What the last answer said, in milliseconds.
        heard: AtomicI64,
    },
    /// Wall time that moves with tokio's clock: virtual under a paused runtime.
    Runtime { epoch: Timestamp, started: Instant },
}

impl Clock {
    /// The clock of the machine.
    pub fn system() -> Self {
        Self(Arc::new(Source::System {
            ahead: AtomicI64::new(0),
            heard: AtomicI64::new(0),
        }))
    }

    /// A clock that reads `epoch` now and advances with tokio's clock.
    pub fn runtime(epoch: Timestamp) -> Self {
        Self(Arc::new(Source::Runtime {
            epoch,
            started: Instant::now(),
        }))
    }

    /// The time of day.
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            #[expect(clippy::disallowed_methods, reason = "this is the place that asks")]
            Source::System { ahead, .. } => after(
                Timestamp::now(),
                SignedDuration::from_millis(ahead.load(Ordering::Relaxed)),
            ),
            Source::Runtime { epoch, started } => {
                let passed = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
                after(*epoch, SignedDuration::from_millis(passed))
            }
        }
    }

    /// Takes in the time of a `Date` header. Times of the protocol are those of the API server, which
    /// every replica shares; a header has whole seconds and a way behind it, so a small difference says
    /// nothing, and one answer alone moves no clock: two in a row have to agree.
    pub fn observe(&self, server: Timestamp) {
        let Source::System { ahead, heard } = &*self.0 else {
            return;
        };
        #[expect(clippy::disallowed_methods, reason = "this is the place that asks")]
        let difference = server.duration_since(Timestamp::now());
        let difference = i64::try_from(difference.as_millis()).unwrap_or(0);
        let before = heard.swap(difference, Ordering::Relaxed);
        if difference.abs_diff(before) <= TOLERANCE {
            let skew = if difference.unsigned_abs() > TOLERANCE {
                difference
            } else {
                0
            };
            ahead.store(skew, Ordering::Relaxed);
        }
    }
}

/// What two clocks may differ in without being corrected, in milliseconds.
const TOLERANCE: u64 = 3_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::moment::before;

    #[test]
    fn a_clock_that_is_wrong_is_corrected_and_one_that_is_right_is_left_alone() {
        let clock = Clock::system();
        let right = clock.now();
        clock.observe(before(right, SignedDuration::from_secs(2)));
        assert!(clock.now() >= right);
        let behind = before(right, SignedDuration::from_mins(10));
        clock.observe(behind);
        assert!(clock.now() >= right, "one answer alone moves no clock");
        clock.observe(behind);
        assert!(clock.now() < after(behind, SignedDuration::from_secs(5)));
    }
}
