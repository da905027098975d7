//! The faults that strike one call, sorted by where in the exchange they work.

use std::time::Duration;

use super::faults::{AuthDown, Fault, RateLimit, Redirect, StatusFault};

/// Everything that goes wrong with one exchange.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// The connection closes before anything is done.
    pub(super) lose_request: bool,
    /// Nothing is answered; the operation is done after this.
    pub(super) delay_commit: Option<Duration>,
    /// Answered instead of doing anything.
    pub(super) refusal: Option<Refusal>,
    /// The operation is done twice.
    pub(super) duplicate: bool,
    /// How the operation itself goes wrong.
    pub(super) distortion: Distortion,
    /// What becomes of the answer's content.
    pub(super) damage: Vec<Damage>,
    /// How the answer travels.
    pub(super) delivery: Delivery,
}

/// An answer that the operation has no part in.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    Status(StatusFault),
    Redirect(Redirect),
    RateLimit(RateLimit),
    AuthDown(AuthDown),
}

/// What the operation does wrong. Dialects apply this.
#[derive(Debug, Default)]
pub(super) struct Distortion {
    pub(super) wrong_scope: bool,
    pub(super) relabel: bool,
    pub(super) verify_lag: Option<Duration>,
    pub(super) revoke_lag: Option<Duration>,
    pub(super) listing: ListingFaults,
}

/// How listings are untrue.
#[derive(Debug, Default)]
pub(super) struct ListingFaults {
    pub(super) stale: Option<Duration>,
    pub(super) drop_items: usize,
    pub(super) invent_items: usize,
    pub(super) empty: bool,
    pub(super) failing_page: Option<usize>,
    pub(super) cursor_loop: bool,
}

/// A change to the content of an answer, in the order in which they are made: what needs to find a
/// field comes before what breaks the body.
#[derive(Clone, Copy, Debug)]
pub(super) enum Damage {
    Status(StatusFault),
    NoValue,
    OldValue,
    WrongOwner,
    BadJson,
    Huge,
    Truncate(usize),
}

impl Damage {
    fn rank(&self) -> u8 {
        match self {
            Self::Status(_) => 0,
            Self::NoValue | Self::OldValue | Self::WrongOwner => 1,
            Self::BadJson => 2,
            Self::Huge => 3,
            Self::Truncate(_) => 4,
        }
    }
}

/// How an answer travels.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    pub(super) stall: Option<Duration>,
    pub(super) lost: bool,
    pub(super) reset: bool,
    pub(super) bytes_per_second: Option<u32>,
}

impl FromIterator<Fault> for Effects {
    fn from_iter<I: IntoIterator<Item = Fault>>(faults: I) -> Self {
        let mut effects = Self::default();
        for fault in faults {
            effects.add(fault);
        }
        effects.damage.sort_by_key(Damage::rank);
        effects
    }
}

impl Effects {
    fn add(&mut self, fault: Fault) {
        let listing = &mut self.distortion.listing;
        match fault {
            Fault::LoseRequest => self.lose_request = true,
            Fault::DelayCommit(wait) => self.delay_commit = Some(wait.0),
            Fault::Duplicate => self.duplicate = true,

            Fault::Status(status) if status.committed => self.damage.push(Damage::Status(status)),
            Fault::Status(status) => self.refusal = Some(Refusal::Status(status)),
            Fault::Redirect(redirect) => self.refusal = Some(Refusal::Redirect(redirect)),
            Fault::RateLimit(limit) => self.refusal = Some(Refusal::RateLimit(limit)),
            Fault::AuthDown(down) => self.refusal = Some(Refusal::AuthDown(down)),

            Fault::WrongScope => self.distortion.wrong_scope = true,
            Fault::Relabel => self.distortion.relabel = true,
            Fault::VerifyLag(wait) => self.distortion.verify_lag = Some(wait.0),
            Fault::RevokeLag(wait) => self.distortion.revoke_lag = Some(wait.0),

            Fault::StaleList(wait) => listing.stale = Some(wait.0),
            Fault::DropItems(count) => listing.drop_items = count,
            Fault::InventItems(count) => listing.invent_items = count,
            Fault::EmptyList => listing.empty = true,
            Fault::PageFails(page) => listing.failing_page = Some(page),
            Fault::CursorLoop => listing.cursor_loop = true,

            Fault::NoValue => self.damage.push(Damage::NoValue),
            Fault::OldValue => self.damage.push(Damage::OldValue),
            Fault::WrongOwner => self.damage.push(Damage::WrongOwner),
            Fault::BadJson => self.damage.push(Damage::BadJson),
            Fault::Huge => self.damage.push(Damage::Huge),
            Fault::Truncate(length) => self.damage.push(Damage::Truncate(length)),

            Fault::Stall(wait) => self.delivery.stall = Some(wait.0),
            Fault::LoseResponse => self.delivery.lost = true,
            Fault::Reset => self.delivery.reset = true,
            Fault::Slow(bytes) => self.delivery.bytes_per_second = Some(bytes),

            // Takes effect when it is ordered, not when a call arrives.
            Fault::ClockSkew(_) => {}
        }
    }
}
