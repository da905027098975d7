//! The admin credential of a connection: read from a Secret's key, checked before it is ever used.
//!
//! # Guarantees
//! The value appears in no error, no `Debug` and no header that could be refused with its text quoted. Whoever
//! reports an [`AdminError`] names the Secret and its key; the error says what is wrong and what to do.

use http::HeaderValue;

use crate::secret_value::SecretValue;

/// Longer than any token we know, short enough for any server's header limit.
const MAX_LENGTH: usize = 4096;

/// A token that may be put behind `Bearer `.
#[derive(Debug)]
pub struct AdminToken(SecretValue);

/// Why the value cannot be the admin credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// Nothing but white space.
    #[error("the key is empty; store the admin token in it")]
    Empty,
    /// A byte that no token has: a blank in the middle, a control character, a byte order mark.
    #[error(
        "the key holds a character that no token has (a blank, a line break, a byte order mark, anything \
         beyond ASCII); store the token alone, without a scheme such as Bearer"
    )]
    Character,
    /// Longer than any server accepts.
    #[error("the key holds more than 4096 characters; store the token alone")]
    TooLong,
    /// A DSN sends events; it can never manage.
    #[error(
        "the key holds a URL or DSN, which can never manage credentials; store an admin token instead"
    )]
    Dsn,
    /// An organization token of Sentry (`sntrys_`); its scope is fixed.
    #[error(
        "the key holds a Sentry organization token (sntrys_), which can never manage credentials; \
         store the token of an internal integration instead"
    )]
    OrganizationToken,
}

impl AdminError {
    /// Whether the value is sound, but of a sort that can never manage (`CapabilityMissing`).
    pub fn can_never_manage(self) -> bool {
        match self {
            Self::Dsn | Self::OrganizationToken => true,
            Self::Empty | Self::Character | Self::TooLong => false,
        }
    }
}

impl AdminToken {
    /// Takes the bytes of a Secret's key. White space around the token is trimmed (a trailing line break
    /// is common); anything else must be right.
    pub fn load(bytes: &[u8]) -> Result<Self, AdminError> {
        let token = bytes.trim_ascii();
        if token.is_empty() {
            return Err(AdminError::Empty);
        }
        if token.len() > MAX_LENGTH {
            return Err(AdminError::TooLong);
        }
        let token = str::from_utf8(token).map_err(|_| AdminError::Character)?;
        if !is_token(token) {
            return Err(AdminError::Character);
        }
        match sort(token) {
            None => Ok(Self(SecretValue::new(token.to_owned()))),
            Some(error) => Err(error),
        }
    }

    /// Whether a value is this very token.
    pub(super) fn is(&self, value: &SecretValue) -> bool {
        self.0.expose() == value.expose()
    }

    /// The value of the `Authorization` header, marked sensitive.
    pub(super) fn bearer(&self) -> Option<HeaderValue> {
        bearer(&self.0)
    }
}

/// Characters that can stand in a header without quoting.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `None` if the value cannot be a header; who loads values with [`is_token`] never sees that.
pub(super) fn bearer(value: &SecretValue) -> Option<HeaderValue> {
    let text = SecretValue::new(format!("Bearer {}", value.expose()));
    let mut header = HeaderValue::from_str(text.expose()).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// The sorts that can never manage.
fn sort(token: &str) -> Option<AdminError> {
    if token.contains("://") {
        Some(AdminError::Dsn)
    } else if token.starts_with("sntrys_") {
        Some(AdminError::OrganizationToken)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_108_white_space_around_the_token_is_trimmed() {
        for bytes in ["erv_admin", "erv_admin\n", "\r\n\t erv_admin \r\n"] {
            let token = AdminToken::load(bytes.as_bytes()).unwrap();
            assert_eq!(token.bearer().unwrap(), "Bearer erv_admin");
        }
    }

    #[test]
    fn a_108_anything_else_is_refused_and_never_repeated() {
        let long = "canary".repeat(1000);
        let cases: [(&[u8], AdminError); 11] = [
            (b"", AdminError::Empty),
            (b" \n", AdminError::Empty),
            (b"Bearer canary", AdminError::Character),
            (b"canary\0", AdminError::Character),
            (b"can\nary", AdminError::Character),
            ("\u{feff}canary".as_bytes(), AdminError::Character),
            ("can\u{e4}ry".as_bytes(), AdminError::Character),
            (b"canary\xff", AdminError::Character),
            (long.as_bytes(), AdminError::TooLong),
            (b"https://canary@o1.ingest.sentry.io/2\n", AdminError::Dsn),
            (b"sntrys_canary", AdminError::OrganizationToken),
        ];
        for (bytes, expected) in cases {
            let error = AdminToken::load(bytes).unwrap_err();
            assert_eq!(error, expected);
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }

    #[test]
    fn what_can_never_manage_is_told_from_what_is_broken() {
        assert!(AdminError::Dsn.can_never_manage());
        assert!(AdminError::OrganizationToken.can_never_manage());
        assert!(!AdminError::Character.can_never_manage());
    }

    #[test]
    fn neither_the_token_nor_its_header_can_be_printed() {
        let token = AdminToken::load(b"canary").unwrap();
        let header = token.bearer();
        assert!(!format!("{token:?} {header:?}").contains("canary"));
    }
}
