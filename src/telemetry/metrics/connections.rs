//! What is true of each connection, and every request that was sent through it.
//!
//! What belongs to a connection goes with it, its counters included. Only revocations that are still to be
//! done stay visible without it, for somebody must see them through.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{counter::ConstCounter, gauge::ConstGauge, histogram::Histogram},
};

use super::{
    descriptor,
    families::{CONNECTION_READY, FamilyInfo, PENDING_REVOCATIONS, REQUEST_SECONDS, REQUESTS},
    labels::Provider,
};
use crate::provider::call::{Answered, Observe, Operation};

const REQUEST_BUCKETS: [f64; 10] = [0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// All connections that have series, by `namespace/name`, or `name` for those of the cluster.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<BTreeMap<String, ConnectionSeries>>);

#[derive(Debug, Clone, Default)]
struct ConnectionSeries {
    ready: Option<bool>,
    pending_revocations: Option<u64>,
    requests: Option<Arc<RequestTally>>,
}

/// Counts the requests of one connection.
#[derive(Debug)]
pub struct RequestTally {
    provider: Provider,
    requests: Mutex<HashMap<(Operation, Answered), Requests>>,
}

/// Requests that were alike.
#[derive(Debug, Clone)]
struct Requests {
    count: u64,
    seconds: Histogram,
}

impl Connections {
    pub(super) fn ready(&self, connection: &str, ready: bool) {
        self.of(connection, |series| series.ready = Some(ready));
    }

    pub(super) fn pending_revocations(&self, connection: &str, pending: u64) {
        self.of(connection, |series| {
            series.pending_revocations = Some(pending);
        });
    }

    /// The same counters for as long as the connection is there, however often it is set up anew.
    pub(super) fn requests(&self, connection: &str, provider: Provider) -> Arc<RequestTally> {
        let fresh = || Arc::new(RequestTally::new(provider));
        self.of(connection, |series| {
            series.requests.get_or_insert_with(fresh).clone()
        })
    }

    pub(super) fn forget(&self, connection: &str) {
        self.of(connection, |series| {
            series.ready = None;
            series.requests = None;
        });
    }

    fn of<T>(&self, connection: &str, change: impl FnOnce(&mut ConnectionSeries) -> T) -> T {
        let mut known = self.known();
        let series = known.entry(connection.to_owned()).or_default();
        let answer = change(series);
        if series.is_done() {
            known.remove(connection);
        }
        answer
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, ConnectionSeries>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionSeries {
    /// The connection is gone, and nothing is left to be done for it.
    fn is_done(&self) -> bool {
        let gone = self.ready.is_none() && self.requests.is_none();
        gone && self.pending_revocations.unwrap_or(0) == 0
    }
}

impl RequestTally {
    fn new(provider: Provider) -> Self {
        Self {
            provider,
            requests: Mutex::default(),
        }
    }

    fn requests(&self) -> MutexGuard<'_, HashMap<(Operation, Answered), Requests>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observe for RequestTally {
    fn observe(&self, operation: Operation, answered: Answered, took: Duration) {
        let mut all = self.requests();
        let requests = all
            .entry((operation, answered))
            .or_insert_with(|| Requests {
                count: 0,
                seconds: Histogram::new(REQUEST_BUCKETS),
            });
        requests.count += 1;
        requests.seconds.observe(took.as_secs_f64());
    }
}

impl Collector for Connections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let known = self.known().clone();
        let ready = |series: &ConnectionSeries| series.ready.map(u64::from);
        encode_gauge(&CONNECTION_READY, ready, &known, &mut encoder)?;
        let pending = |series: &ConnectionSeries| series.pending_revocations;
        encode_gauge(&PENDING_REVOCATIONS, pending, &known, &mut encoder)?;
        encode_requests(&known, &mut encoder)
    }
}

fn encode_gauge(
    family: &FamilyInfo,
    value: impl Fn(&ConnectionSeries) -> Option<u64>,
    known: &BTreeMap<String, ConnectionSeries>,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let mut values = known
        .iter()
        .filter_map(|(connection, series)| Some((connection, value(series)?)))
        .peekable();
    if values.peek().is_none() {
        return Ok(());
    }
    let mut metric = descriptor(encoder, family)?;
    for (connection, value) in values {
        let labels = [("connection", connection.as_str())];
        ConstGauge::new(value).encode(metric.encode_family(&labels)?)?;
    }
    Ok(())
}

fn encode_requests(
    known: &BTreeMap<String, ConnectionSeries>,
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let tallies = known
        .iter()
        .filter_map(|(connection, series)| Some((connection, series.requests.as_deref()?)));
    let mut requests = Vec::new();
    for (connection, tally) in tallies {
        for ((operation, answered), alike) in &*tally.requests() {
            let labels = [
                ("connection", connection.as_str()),
                ("provider", tally.provider.as_str()),
                ("operation", operation.as_str()),
                ("outcome", outcome(*answered)),
            ];
            requests.push((labels, alike.clone()));
        }
    }
    if requests.is_empty() {
        return Ok(());
    }
    let mut metric = descriptor(encoder, &REQUESTS)?;
    for (labels, alike) in &requests {
        ConstCounter::new(alike.count).encode(metric.encode_family(labels)?)?;
    }
    let mut metric = descriptor(encoder, &REQUEST_SECONDS)?;
    for (labels, alike) in &requests {
        alike.seconds.encode(metric.encode_family(labels)?)?;
    }
    Ok(())
}

const fn outcome(answered: Answered) -> &'static str {
    match answered {
        Answered::Ok => "ok",
        Answered::Rejected => "rejected",
        Answered::Throttled => "throttled",
        Answered::Ambiguous => "ambiguous",
        Answered::NotSent => "not_sent",
    }
}
