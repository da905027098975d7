//! What a provider adds to the simulator: how it reads requests, and what it does about them.
//!
//! A dialect is synchronous and knows no faults but those that distort the operation itself; the rest
//! is in [`super::exchange`], so that every operation of every provider gets every fault.

use axum::body::Bytes;
use http::{Request, StatusCode};

use super::{
    clock::Moment,
    credentials::Credentials,
    effects::Distortion,
    faults::{Facts, RetryAfter},
    reply::Reply,
    values::Generator,
};

/// The circumstances of one operation.
#[derive(Debug)]
pub(super) struct Circumstances<'a> {
    pub(super) now: Moment,
    pub(super) generator: &'a mut Generator,
    pub(super) distortion: &'a Distortion,
}

/// One provider.
pub(super) trait Dialect {
    /// What the request is about, without doing it.
    fn describe(&self, request: &Request<Bytes>, now: Moment) -> Facts;

    /// Does what the request asks.
    fn perform(&mut self, request: &Request<Bytes>, circumstances: &mut Circumstances<'_>)
    -> Reply;

    /// A refusal in the provider's own error shape.
    fn refuse(&self, status: StatusCode) -> Reply;

    /// How a 429 says when to come back.
    fn retry_after(&self) -> RetryAfter;

    /// All credentials.
    fn credentials(&self) -> &Credentials;
}
