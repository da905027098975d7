//! Knobs that belong together.

use super::knobs::{
    CookieAndBearer, CreateExpiry, DuplicateName, ErrorShape, ErrovaKnobs, ExpiredKey, ExpiryKnobs,
    Intake, KeyKnobs, LabelKnobs, Lists, NullExpiry, Permission, Presence, ProjectKnobs,
    RateLimitKnobs, Resolution, Rotation, TokenKnobs,
};
use crate::simulator::faults::RetryAfter;

impl ErrovaKnobs {
    /// A provider that shows and keeps what it was told, at once.
    pub fn friendly() -> Self {
        Self {
            list: Lists::Present,
            revoke_lag_seconds: 0,
            cookie_and_bearer: CookieAndBearer::BearerWins,
            key: KeyKnobs {
                delete: Presence::Present,
                create_expires_at: CreateExpiry::Honour,
                expires_at: ExpiryKnobs {
                    past: Intake::Accept,
                    null: NullExpiry::Clear,
                    expired: ExpiredKey::Extendable,
                    ..ExpiryKnobs::default()
                },
                ..KeyKnobs::default()
            },
            project: ProjectKnobs {
                get: Presence::Present,
                update: Presence::Present,
                delete: Presence::Present,
                ..ProjectKnobs::default()
            },
            label: LabelKnobs {
                max_len: 255,
                ..LabelKnobs::default()
            },
            rate_limit: RateLimitKnobs {
                retry_after: RetryAfter::Seconds,
            },
            ..Self::default()
        }
    }

    /// Every unknown at its worst, even where that disables a feature.
    pub fn hostile() -> Self {
        Self {
            token: TokenKnobs {
                create_with_bearer: Permission::Deny,
                ..TokenKnobs::default()
            },
            key: KeyKnobs {
                rotate: Rotation {
                    new_public_key: true,
                    ..Rotation::default()
                },
                expires_at: ExpiryKnobs {
                    min_lead_seconds: 5 * 60,
                    resolution: Resolution::Minute,
                    ..ExpiryKnobs::default()
                },
                create_expires_at: CreateExpiry::Reject,
                ..KeyKnobs::default()
            },
            project: ProjectKnobs {
                duplicate_name: DuplicateName::SameSlug,
                ..ProjectKnobs::default()
            },
            error: ErrorShape::Text,
            revoke_lag_seconds: 300,
            verify_lag_seconds: 60,
            ..Self::default()
        }
    }

    /// The profile of this name: `default`, `friendly` or `hostile`.
    pub fn profile(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Self::default()),
            "friendly" => Some(Self::friendly()),
            "hostile" => Some(Self::hostile()),
            _ => None,
        }
    }
}
