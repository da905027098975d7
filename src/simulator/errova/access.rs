//! Who is asking, and what they may do. Authentication comes before everything else, so that a
//! request for something that does not exist still tells whether its token is accepted.

use axum::body::Bytes;
use http::{HeaderMap, Request, header};

use super::{
    Errova,
    answer::Denied,
    knobs::{CookieAndBearer, Permission, SessionCover},
    route::Route,
};
use crate::simulator::{
    clock::Moment,
    credentials::{Credential, CredentialKind},
    operation::Operation,
};

/// The scope that changes things. Whoever has it may also read.
pub(super) const ADMIN: &str = "org.admin";
/// The scope that reads.
pub(super) const READ: &str = "org.read";

/// Who is asking.
pub(super) enum Caller<'a> {
    Token(&'a Credential),
    Session,
}

impl Caller<'_> {
    /// The id of the token.
    pub(super) fn id(&self) -> Option<&str> {
        match self {
            Self::Token(token) => Some(&token.id),
            Self::Session => None,
        }
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    text(headers, header::AUTHORIZATION)?.strip_prefix("Bearer ")
}

fn session_cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = text(headers, header::COOKIE)?;
    cookies
        .split("; ")
        .find_map(|cookie| cookie.strip_prefix("errova_session="))
}

impl Errova {
    /// Who is asking.
    pub(super) fn authenticate(
        &self,
        request: &Request<Bytes>,
        now: Moment,
    ) -> Result<Caller<'_>, Denied> {
        let headers = request.headers();
        match (bearer(headers), session_cookie(headers)) {
            (None, None) => Err(Denied::UNAUTHORIZED),
            (Some(token), None) => self.token(token, now),
            (None, Some(cookie)) => self.session(cookie, headers, now),
            (Some(token), Some(cookie)) => match self.knobs.cookie_and_bearer {
                CookieAndBearer::BearerWins => self.token(token, now),
                CookieAndBearer::CookieWins => self.session(cookie, headers, now),
                CookieAndBearer::Reject400 => Err(Denied::BAD_REQUEST),
            },
        }
    }

    fn token(&self, value: &str, now: Moment) -> Result<Caller<'_>, Denied> {
        self.credentials
            .holder(value, now)
            .filter(|credential| credential.kind == CredentialKind::MachineToken)
            .map(Caller::Token)
            .ok_or(Denied::UNAUTHORIZED)
    }

    fn session(
        &self,
        cookie: &str,
        headers: &HeaderMap,
        now: Moment,
    ) -> Result<Caller<'_>, Denied> {
        if !self.session_lives(cookie, now.truth) {
            return Err(Denied::UNAUTHORIZED);
        }
        let same_site =
            headers.contains_key(header::ORIGIN) && headers.contains_key(header::REFERER);
        if self.knobs.session.require_origin_and_referer && !same_site {
            return Err(Denied::FORBIDDEN);
        }
        Ok(Caller::Session)
    }

    /// Whether they may do it.
    pub(super) fn authorize(&self, caller: &Caller<'_>, route: &Route<'_>) -> Result<(), Denied> {
        let allowed = match caller {
            Caller::Session => {
                self.knobs.session.covers == SessionCover::All || is_about_tokens(route.op)
            }
            Caller::Token(token) => self.allows(token, route),
        };
        if allowed && route.organization == self.organization {
            Ok(())
        } else {
            Err(Denied::FORBIDDEN)
        }
    }

    fn allows(&self, token: &Credential, route: &Route<'_>) -> bool {
        let knobs = &self.knobs.token;
        let has = |scope: &str| token.scopes.iter().any(|granted| granted == scope);
        let is_itself = route.id == Some(token.id.as_str());
        match route.op {
            Operation::TokenDelete if is_itself => knobs.self_delete == Permission::Allow,
            Operation::TokenRotate if is_itself => knobs.self_rotate == Permission::Allow,
            Operation::TokenCreate => has(ADMIN) && knobs.create_with_bearer == Permission::Allow,
            Operation::TokenList
            | Operation::ProjectList
            | Operation::ProjectGet
            | Operation::KeyList => has(ADMIN) || has(READ),
            _ => has(ADMIN),
        }
    }
}

fn is_about_tokens(op: Operation) -> bool {
    matches!(
        op,
        Operation::TokenCreate
            | Operation::TokenList
            | Operation::TokenRotate
            | Operation::TokenDelete
    )
}
