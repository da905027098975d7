//! One request budget per connection: who may send next, how often, and how many at once.
//!
//! ```text
//!   Revoke ──┐
//!   Issue ───┤ door: one at a time,     bucket        in flight
//!   Rotate ──┤ by lane, then FIFO  ───► per minute ──► at most n ──► Permit
//!   Check ───┘                   a pause closes the door
//! ```
//!
//! # Guarantees
//! - Within a lane the first to ask is the first to go. Revocation goes first; every other lane has a share
//!   that none can take from it, so nothing starves.
//! - A 429 pauses the whole connection. A short pause is sat out at the door; during a long one every caller
//!   is sent away with [`Paused`], so that one throttled provider does not hold the passes of all others.
//! - A caller that goes away, at any point, takes no turn and leaves no gap.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::Clock as _,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use jiff::Timestamp;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, sleep_until},
};

use self::door::Door;
pub use self::door::Lane;
use crate::clock::Clock;

mod door;

/// A pause that ends within this time is sat out at the door. Well below the half minute in which a create
/// may be sent.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first pause after a 429 that does not say how long.
const FIRST_BACKOFF: Duration = Duration::from_secs(60);
/// No provider can silence a connection for longer, whatever it says.
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);

type Bucket = RateLimiter<NotKeyed, InMemoryState, RuntimeClock, NoOpMiddleware<Duration>>;

/// The budget of one connection, shared by all of its callers.
#[derive(Debug)]
pub struct Budget {
    door: Arc<Door>,
    bucket: Bucket,
    ticks: RuntimeClock,
    in_flight: Arc<Semaphore>,
    pause: Mutex<Pause>,
    clock: Clock,
}

/// The right to have one request in flight. Given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _slot: Option<OwnedSemaphorePermit>,
    admitted: Instant,
}

/// The connection is paused for longer than a caller should wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paused {
    /// When it opens again.
    pub until: Instant,
}

#[derive(Debug, Default)]
struct Pause {
    until: Option<Instant>,
    began: Option<Instant>,
    /// The next pause of a provider that does not say how long.
    backoff: Option<Duration>,
}

impl Budget {
    /// `per_minute` calls on average, evenly spread after an initial burst of `in_flight`.
    pub fn new(per_minute: NonZeroU32, in_flight: NonZeroU32, clock: Clock) -> Self {
        let ticks = RuntimeClock(Instant::now());
        let quota = Quota::per_minute(per_minute).allow_burst(in_flight);
        Self {
            door: Arc::default(),
            bucket: RateLimiter::direct_with_clock(quota, ticks),
            ticks,
            in_flight: Arc::new(Semaphore::new(in_flight.get() as usize)),
            pause: Mutex::default(),
            clock,
        }
    }

    /// Waits for a turn, a slot and a token, in this order.
    pub async fn admit(&self, lane: Lane) -> Result<Permit, Paused> {
        let _turn = self.door.turn(lane).await;
        self.open().await?;
        // The semaphore is never closed, so this is never `None`.
        let slot = self.in_flight.clone().acquire_owned().await.ok();
        self.token().await;
        self.open().await?; // somebody else's 429 may have come meanwhile
        Ok(Permit {
            _slot: slot,
            admitted: Instant::now(),
        })
    }

    /// When the pause ends, if there is one: before that nothing but a short wait is worth beginning.
    pub fn paused_until(&self) -> Option<Instant> {
        self.pause().until.filter(|until| *until > Instant::now())
    }

    /// A 429 came for `permit`: pauses the connection for as long as the provider asked, else by backoff.
    pub(super) fn throttled(&self, permit: &Permit, asked: Option<Duration>) {
        let now = Instant::now();
        let mut pause = self.pause();
        // Requests that were on their way when the pause began tell nothing new.
        let same_wave = pause.began.is_some_and(|began| permit.admitted <= began);
        let wait = match (asked, pause.backoff) {
            (Some(asked), _) => asked,
            (None, Some(_)) if same_wave => return,
            (None, last) => {
                let backoff = last
                    .map_or(FIRST_BACKOFF, |last| last * 2)
                    .min(LONGEST_PAUSE);
                pause.backoff = Some(backoff);
                backoff
            }
        };
        pause.began = Some(now);
        pause.until = pause.until.max(Some(now + wait.min(LONGEST_PAUSE)));
    }

    /// The provider serves again: the next backoff begins small.
    pub(super) fn served(&self, permit: &Permit) {
        let mut pause = self.pause();
        if pause.began.is_none_or(|began| permit.admitted > began) {
            pause.backoff = None;
        }
    }

    /// The time of day, for answers that carry none.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn open(&self) -> Result<(), Paused> {
        while let Some(until) = self.paused_until() {
            if until > Instant::now() + PATIENCE {
                return Err(Paused { until });
            }
            sleep_until(until).await;
        }
        Ok(())
    }

    async fn token(&self) {
        while let Err(early) = self.bucket.check() {
            sleep(early.wait_time_from(self.ticks.now())).await;
        }
    }

    fn pause(&self) -> MutexGuard<'_, Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tokio's clock as the bucket sees it, so that virtual time moves it, too.
#[derive(Debug, Clone, Copy)]
struct RuntimeClock(Instant);

impl governor::clock::Clock for RuntimeClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests;
