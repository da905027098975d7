//! The only question for the time. Everything else takes it as an argument.

use std::sync::Arc;

use jiff::{Timestamp, ToSpan as _};
use tokio::time::Instant;

/// Where "now" comes from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Source>);

#[derive(Debug)]
enum Source {
    System,
    /// Wall time that moves with tokio's clock: virtual under a paused runtime.
    Runtime {
        epoch: Timestamp,
        started: Instant,
    },
}

impl Clock {
    /// The clock of the machine.
    pub fn system() -> Self {
        Self(Arc::new(Source::System))
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
            Source::System => Timestamp::now(),
            Source::Runtime { epoch, started } => {
                let passed = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
                epoch
                    .checked_add(passed.milliseconds())
                    .unwrap_or(Timestamp::MAX)
            }
        }
    }
}
