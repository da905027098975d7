//! Workloads that use a target all the time, and count how often they are refused.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{place::Place, provider::Caller};

const CONSUMERS: u64 = 4;

/// Every consumer authenticates so often…
const TICK: Duration = Duration::from_millis(20);

/// …and looks for a new value so seldom: what a mounted volume lags behind.
const RELOAD: Duration = Duration::from_secs(1);

/// Workloads that hold what they last read from a target.
pub(crate) struct Consumers {
    running: JoinSet<()>,
    stop: CancellationToken,
    ticks: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
}

impl Consumers {
    /// Begins to use a target that is there.
    pub(crate) fn start(place: &Arc<Place>, target: &str) -> Self {
        let mut consumers = Self {
            running: JoinSet::new(),
            stop: CancellationToken::new(),
            ticks: Arc::default(),
            refused: Arc::default(),
        };
        for n in 0..CONSUMERS {
            let (place, stop) = (place.clone(), consumers.stop.clone());
            let (ticks, refused) = (consumers.ticks.clone(), consumers.refused.clone());
            let target = target.to_owned();
            // None of them looks at the same moment as another.
            let offset = RELOAD.mul_f64(f64::from(u32::try_from(n).unwrap()) / 4.0);
            consumers.running.spawn(async move {
                sleep(offset).await;
                consume(&place, &target, &stop, (&ticks, &refused)).await;
            });
        }
        consumers
    }

    /// How often they authenticated, and how often they were refused.
    pub(crate) async fn stop(mut self) -> (usize, usize) {
        self.stop.cancel();
        while let Some(ended) = self.running.join_next().await {
            ended.unwrap();
        }
        let count = |n: &AtomicUsize| n.load(Ordering::SeqCst);
        (count(&self.ticks), count(&self.refused))
    }
}

async fn consume(
    place: &Place,
    target: &str,
    stop: &CancellationToken,
    (ticks, refused): (&AtomicUsize, &AtomicUsize),
) {
    let caller = Caller::of(&place.provider);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut held = place.value(target).await.unwrap();
    let mut read = Instant::now();
    while !stop.is_cancelled() {
        tick.tick().await;
        if read.elapsed() >= RELOAD {
            held = place.value(target).await.unwrap();
            read = Instant::now();
        }
        ticks.fetch_add(1, Ordering::SeqCst);
        if !caller.is_accepted(&held).await {
            refused.fetch_add(1, Ordering::SeqCst);
        }
    }
}
