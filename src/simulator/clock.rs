//! The time of the simulated world: a clock that can be moved, and the skew of its servers.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use tokio::sync::watch;

use crate::clock::Clock;

/// A [`Clock`] that can be moved by hand. Clones share the hand.
#[derive(Clone, Debug)]
pub struct SimulatorClock {
    base: Clock,
    shift: Arc<watch::Sender<Shift>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Shift {
    moved: SignedDuration,
    skew: SignedDuration,
}

/// One instant by two clocks. What the simulator keeps is in true time, except what clients say and
/// see: expiries, signatures, the times in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) truth: Timestamp,
    pub(super) server: Timestamp,
}

impl Moment {
    /// A true time as the servers' clock showed it, were it always as wrong as now.
    pub(super) fn as_shown(self, time: Timestamp) -> Timestamp {
        shifted(time, self.truth.duration_until(self.server))
    }
}

fn shifted(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.saturating_add(by).unwrap_or(time)
}

impl SimulatorClock {
    pub(super) fn new(base: Clock) -> Self {
        Self {
            base,
            shift: Arc::new(watch::Sender::new(Shift::default())),
        }
    }

    /// Both times, of one instant.
    pub(super) fn moment(&self) -> Moment {
        let truth = self.now();
        Moment {
            truth,
            server: shifted(truth, self.shift.borrow().skew),
        }
    }

    /// The true time.
    pub fn now(&self) -> Timestamp {
        shifted(self.base.now(), self.shift.borrow().moved)
    }

    /// What the providers take for the time: in their `Date`, their timestamps and their expiries.
    pub fn server_now(&self) -> Timestamp {
        self.moment().server
    }

    /// Moves the time on. Waits that end before the new time end at once.
    pub fn advance(&self, by: Duration) {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        self.shift
            .send_modify(|shift| shift.moved = shift.moved.saturating_add(by));
    }

    /// Moves the time to `time`, which may be in the past.
    pub fn set(&self, time: Timestamp) {
        let moved = self.base.now().duration_until(time);
        self.shift.send_modify(|shift| shift.moved = moved);
    }

    /// Sets the providers' clocks ahead of the true time, or behind it.
    pub fn skew(&self, skew: SignedDuration) {
        self.shift.send_modify(|shift| shift.skew = skew);
    }

    /// Waits by this clock: by tokio's, and shorter if the time is moved meanwhile.
    pub(super) async fn sleep(&self, wait: Duration) {
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
        let until = shifted(self.now(), wait);
        let mut shifts = self.shift.subscribe();
        while let Ok(left) = Duration::try_from(self.now().duration_until(until)) {
            if left.is_zero() {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                _ = shifts.changed() => {}
            }
        }
    }
}

/// A time as HTTP headers have it.
pub(super) fn http_date(time: Timestamp) -> String {
    rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_when_the_time_is_moved_past_it() {
        let clock = SimulatorClock::new(Clock::runtime(Timestamp::UNIX_EPOCH));
        let started = tokio::time::Instant::now();
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(600)).await }
        });
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(601));
        sleeper.await.unwrap();
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_left_alone_takes_its_time() {
        let clock = SimulatorClock::new(Clock::runtime(Timestamp::UNIX_EPOCH));
        clock.sleep(Duration::from_secs(600)).await;
        assert_eq!(clock.now(), Timestamp::from_second(600).unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn skew_moves_the_servers_and_not_the_truth() {
        let clock = SimulatorClock::new(Clock::runtime(Timestamp::UNIX_EPOCH));
        clock.skew(SignedDuration::from_secs(-90));
        clock.set(Timestamp::from_second(1_000).unwrap());
        assert_eq!(clock.now().as_second(), 1_000);
        assert_eq!(clock.server_now().as_second(), 910);
    }
}
