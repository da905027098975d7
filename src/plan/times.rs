//! The durations of the protocol. One scale shortens them together; what ships has scale 1.

use jiff::SignedDuration;

use crate::moment::part;

/// Durations of the protocol and of specs, divided by one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    scale: u32,
    /// How long the finalizer waits for the provider.
    pub deletion_timeout: SignedDuration,
}

const fn seconds(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

impl Times {
    /// As they ship.
    pub const fn shipped() -> Self {
        Self {
            scale: 1,
            deletion_timeout: seconds(10 * MINUTE),
        }
    }

    /// `scale` times shorter, for the sandbox and for tests.
    #[must_use]
    pub fn scaled(self, scale: u32) -> Self {
        let scale = scale.max(1);
        Self {
            scale,
            deletion_timeout: part(self.deletion_timeout, 1, scale),
        }
    }

    /// A duration of a spec.
    pub fn of(&self, span: SignedDuration) -> SignedDuration {
        part(span, 1, self.scale)
    }

    /// How long a target write that was prepared may still be sent (the fence T).
    pub fn fence(&self) -> SignedDuration {
        let smallest_overlap = self.of(seconds(5 * MINUTE));
        seconds(10).min(part(smallest_overlap, 1, 5))
    }

    /// How long a pending credential may be refused before it is rejected.
    pub fn verify_timeout(&self) -> SignedDuration {
        self.of(seconds(10 * MINUTE))
    }

    /// Between two probes of a pending credential, between two looks at closed gates, and between two
    /// tries of anything else that was refused: at least this, then doubling.
    pub fn retry(&self) -> SignedDuration {
        self.of(seconds(30))
    }

    /// The longest wait between two tries of a revocation, a delivery or a look at the gates.
    pub fn longest_retry(&self) -> SignedDuration {
        self.of(seconds(10 * MINUTE))
    }

    /// Between two looks at an obstacle whose end no watch shows.
    pub fn obstacle_poll(&self) -> SignedDuration {
        self.of(seconds(MINUTE))
    }

    /// Between two deliveries of an unchanged credential.
    pub fn repair_interval(&self) -> SignedDuration {
        self.of(seconds(10))
    }

    /// Between two looks at a target that is not watched.
    pub fn target_poll(&self) -> SignedDuration {
        self.of(seconds(HOUR))
    }

    /// The window of the budget of creates.
    pub fn budget_window(&self) -> SignedDuration {
        self.of(seconds(DAY))
    }

    /// The wait after the first failed attempt.
    pub fn first_backoff(&self) -> SignedDuration {
        self.of(seconds(MINUTE))
    }

    /// The longest wait between two attempts.
    pub fn longest_backoff(&self) -> SignedDuration {
        self.of(seconds(32 * HOUR))
    }

    /// How long before its end a credential is replaced, beyond overlap and verification.
    pub fn expiry_reserve(&self) -> SignedDuration {
        self.of(seconds(DAY))
    }

    /// When a kubelet has surely refreshed a Secret volume: sync period and cache delay.
    pub fn volume_refresh(&self) -> SignedDuration {
        self.of(seconds(2 * MINUTE))
    }

    /// How far in the future a request annotation may lie.
    pub fn request_ahead(&self) -> SignedDuration {
        self.of(seconds(5 * MINUTE))
    }

    /// Between two checks of a connection that works, and of what is only polled.
    pub fn sweep(&self) -> SignedDuration {
        self.of(seconds(10 * MINUTE))
    }
}

/// Creates per resource and window that may end without a promotion.
pub const FRUITLESS_BUDGET: u32 = 5;

/// Creates per resource and window in all.
pub const ISSUE_BUDGET: u32 = 30;
