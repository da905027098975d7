//! What is not known about Errova, as settings. Each default is the documented behaviour, else the most
//! hostile plausible one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::simulator::faults::RetryAfter;

macro_rules! knobs {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $kind:ty = $default:expr,)+ })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(rename_all = "camelCase", default, deny_unknown_fields)]
            pub struct $name {
                $($(#[$field_doc])* pub $field: $kind,)+
            }

            impl Default for $name {
                fn default() -> Self {
                    Self { $($field: $default,)+ }
                }
            }
        )+
    };
}

macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)+ })+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
            #[serde(rename_all = "camelCase")]
            pub enum $name {
                $($(#[$variant_doc])* $variant,)+
            }
        )+
    };
}

choices! {
    /// Whether something is permitted.
    Permission {
        /// It is.
        Allow,
        /// It is answered with 403.
        Deny,
    }

    /// Whether an undocumented route exists.
    Presence {
        /// No such path.
        Absent404,
        /// No such method.
        Absent405,
        /// It exists.
        Present,
    }

    /// Whether lists exist.
    Lists {
        /// No such path.
        Absent404,
        /// No such method.
        Absent405,
        /// They exist.
        Present,
        /// They exist and do not show labels.
        PresentWithoutLabels,
    }

    /// What happens to an input that the server may or may not take.
    Intake {
        /// It is taken.
        Accept,
        /// It is answered with 400.
        Reject,
    }

    /// What `expiresAt: null` does.
    NullExpiry {
        /// 400.
        Reject,
        /// The expiry is taken away.
        Clear,
    }

    /// Whether the expiry of an expired key can be changed.
    ExpiredKey {
        /// No: 400.
        Frozen,
        /// Yes, and the key lives again.
        Extendable,
    }

    /// How exact an expiry is stored.
    Resolution {
        /// To the second.
        Second,
        /// To the minute, cut.
        Minute,
    }

    /// What `expiresAt` in a create does.
    CreateExpiry {
        /// Nothing.
        Ignore,
        /// The key gets it.
        Honour,
        /// 400.
        Reject,
    }

    /// What an admin session is good for.
    SessionCover {
        /// Machine tokens.
        TokensOnly,
        /// Everything.
        All,
    }

    /// Who is asking when a request carries both a cookie and a bearer token.
    CookieAndBearer {
        /// The holder of the token.
        BearerWins,
        /// The holder of the cookie.
        CookieWins,
        /// Nobody: 400.
        Reject400,
    }

    /// What happens to a label that is too long.
    LongLabel {
        /// It is cut, silently.
        Truncate,
        /// 400.
        Reject,
    }

    /// What a second project of one name gets.
    DuplicateName {
        /// Another slug.
        Suffix,
        /// 409.
        Conflict409,
        /// The same slug.
        SameSlug,
    }

    /// Where in an answer the fields are.
    Nesting {
        /// At the top.
        Flat,
        /// Under the name of the thing: `machineToken`, `project`, `key`.
        Nested,
        /// Under `data`.
        Data,
    }

    /// The shape of errors.
    ErrorShape {
        /// `{"error": {"code", "message"}}`
        Nested,
        /// `{"code", "message"}`
        Flat,
        /// A line of text.
        Text,
        /// A page.
        Html,
        /// Nothing.
        Empty,
    }

    /// What `Idempotency-Key` does to a repeated create.
    Idempotency {
        /// Nothing.
        Ignore,
        /// The first answer again.
        ReplayWithValue,
        /// The first answer again, without the value.
        ReplayWithoutValue,
    }

    /// How a signature is written.
    Encoding {
        /// Lower-case hex.
        Hex,
        /// Base64 with padding.
        Base64,
    }
}

knobs! {
    /// All of them.
    ErrovaKnobs {
        /// Machine tokens.
        token: TokenKnobs = TokenKnobs::default(),
        /// Keys of projects.
        key: KeyKnobs = KeyKnobs::default(),
        /// Projects.
        project: ProjectKnobs = ProjectKnobs::default(),
        /// Whether tokens, projects and keys can be listed.
        list: Lists = Lists::Absent404,
        /// The items on a page of a list.
        page_size: usize = 100,
        /// Admin sessions.
        session: SessionKnobs = SessionKnobs::default(),
        /// Both kinds of authentication at once.
        cookie_and_bearer: CookieAndBearer = CookieAndBearer::Reject400,
        /// Labels of tokens and keys.
        label: LabelKnobs = LabelKnobs::default(),
        /// Statuses of successes.
        status: StatusKnobs = StatusKnobs::default(),
        /// Shapes of successes.
        shape: ShapeKnobs = ShapeKnobs::default(),
        /// The shape of errors.
        error: ErrorShape = ErrorShape::Nested,
        /// Repeated creates.
        idempotency_key: Idempotency = Idempotency::Ignore,
        /// How long a revoked value is still accepted.
        revoke_lag_seconds: u64 = 30,
        /// How long a new value is refused.
        verify_lag_seconds: u64 = 0,
        /// Answers to too many calls.
        rate_limit: RateLimitKnobs = RateLimitKnobs::default(),
        /// Signatures of events.
        sign: SignKnobs = SignKnobs::default(),
        /// Answers to events.
        ingest: IngestKnobs = IngestKnobs::default(),
    }

    /// See [`ErrovaKnobs::token`].
    TokenKnobs {
        /// Whether a token may make tokens.
        create_with_bearer: Permission = Permission::Allow,
        /// What rotation in place does.
        rotate: Rotation = Rotation::default(),
        /// Whether a token may rotate itself.
        self_rotate: Permission = Permission::Allow,
        /// Whether a token may delete itself.
        self_delete: Permission = Permission::Allow,
    }

    /// See [`ErrovaKnobs::key`].
    KeyKnobs {
        /// What rotation in place does.
        rotate: Rotation = Rotation::default(),
        /// Whether a key can be deleted.
        delete: Presence = Presence::Absent404,
        /// Rules for changing the expiry.
        expires_at: ExpiryKnobs = ExpiryKnobs::default(),
        /// An expiry in a create.
        create_expires_at: CreateExpiry = CreateExpiry::Ignore,
    }

    /// Rotation in place: what becomes of the old value, and of the names of the credential.
    Rotation {
        /// Whether it exists at all; 404 otherwise.
        present: bool = true,
        /// How long the old value is still accepted. 0 kills it in the very answer.
        grace_seconds: u64 = 0,
        /// Whether the credential gets another id.
        new_id: bool = false,
        /// Whether a key gets another public key.
        new_public_key: bool = false,
    }

    /// Rules for `PATCH expiresAt`.
    ExpiryKnobs {
        /// An instant that is past.
        past: Intake = Intake::Reject,
        /// No instant.
        null: NullExpiry = NullExpiry::Reject,
        /// A key that has expired.
        expired: ExpiredKey = ExpiredKey::Frozen,
        /// How far ahead an instant must be.
        min_lead_seconds: u64 = 0,
        /// How exact it is kept.
        resolution: Resolution = Resolution::Second,
    }

    /// See [`ErrovaKnobs::project`].
    ProjectKnobs {
        /// Whether a project can be read.
        get: Presence = Presence::Absent404,
        /// Whether a project can be changed.
        update: Presence = Presence::Absent404,
        /// Whether a project can be deleted.
        delete: Presence = Presence::Absent404,
        /// A second project of one name.
        duplicate_name: DuplicateName = DuplicateName::Suffix,
    }

    /// See [`ErrovaKnobs::session`].
    SessionKnobs {
        /// Whether `Origin` and `Referer` are checked; 403 without them.
        require_origin_and_referer: bool = true,
        /// What a session is good for.
        covers: SessionCover = SessionCover::TokensOnly,
        /// How long it lives.
        lifetime_seconds: u64 = 8 * 60 * 60,
    }

    /// See [`ErrovaKnobs::label`].
    LabelKnobs {
        /// The longest label, in characters.
        max_len: usize = 64,
        /// What happens to a longer one.
        on_excess: LongLabel = LongLabel::Truncate,
        /// Whether two living credentials may not share a label; 409.
        unique: bool = false,
    }

    /// See [`ErrovaKnobs::status`].
    StatusKnobs {
        /// Of a create.
        create: u16 = 201,
        /// Of a delete; 204 comes without a body.
        delete: u16 = 204,
    }

    /// See [`ErrovaKnobs::shape`].
    ShapeKnobs {
        /// Where the fields are.
        nesting: Nesting = Nesting::Flat,
        /// Other names for fields: from the usual one to the one on the wire.
        names: BTreeMap<String, String> = BTreeMap::new(),
    }

    /// See [`ErrovaKnobs::rate_limit`].
    RateLimitKnobs {
        /// The header of a 429.
        retry_after: RetryAfter = RetryAfter::None,
    }

    /// See [`ErrovaKnobs::sign`]. No claim about the real service.
    SignKnobs {
        /// Between the parts that are signed.
        separator: String = ".".to_owned(),
        /// How the signature is written.
        encoding: Encoding = Encoding::Hex,
        /// What stands before it.
        prefix: String = String::new(),
        /// How far a timestamp may be off.
        window_seconds: u64 = 300,
    }

    /// See [`ErrovaKnobs::ingest`].
    IngestKnobs {
        /// The status of an event taken.
        success: u16 = 202,
        /// The status for an expired or revoked key.
        dead_key: u16 = 401,
    }
}
