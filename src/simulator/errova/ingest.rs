//! Events, and the signature that a `server_signed` key demands of them.

use axum::body::Bytes;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderMap, Request, StatusCode};
use jiff::Timestamp;
use ring::hmac;
use serde_json::{Value as Json, json};

use super::{
    Errova, Permitted,
    answer::{self, Denied},
    knobs::{Encoding, SignKnobs},
};
use crate::simulator::{
    clock::Moment,
    dialect::Circumstances,
    reply::{Content, Reply, Subject},
    values::{hex, sha256_hex},
};

/// The most events that one request may carry.
const MOST_EVENTS: usize = 1000;

/// How a sender is known to hold a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admission {
    /// The public part is all there is.
    Public,
    /// By a signature.
    Signed,
}

impl Errova {
    pub(super) fn ingest(
        &mut self,
        permitted: Permitted<'_>,
        circumstances: &mut Circumstances<'_>,
    ) -> Result<Reply, Denied> {
        let (now, request) = (circumstances.now, permitted.request);
        let public_key = permitted.route.id.unwrap_or_default();
        if self.admit(request, public_key, now)? == Admission::Signed {
            self.take_nonce(request.headers(), now.server)?;
        }
        let count = count(request.body())?;
        let key = self.credentials.owner_of_public_key(public_key);
        let status = answer::status(self.knobs.ingest.success, StatusCode::ACCEPTED);
        Ok(Reply {
            committed: true,
            subject: Subject {
                id: key.map(|key| key.id.clone()),
                ..Subject::default()
            },
            ..Reply::new(status, Content::Json(json!({"accepted": count})))
        })
    }

    /// How the sender has shown that the key is theirs.
    fn admit(
        &self,
        request: &Request<Bytes>,
        public_key: &str,
        now: Moment,
    ) -> Result<Admission, Denied> {
        let key = (self.credentials)
            .owner_of_public_key(public_key)
            .ok_or(Denied::UNAUTHORIZED)?;
        let secrets: Vec<&str> = key
            .accepted(now)
            .filter(|value| value.public_key.as_deref() == Some(public_key))
            .map(|value| value.secret.expose())
            .collect();
        let is_signed = |secret: &&str| is_signed(request, public_key, secret, &self.knobs.sign);
        if secrets.is_empty() {
            let dead = self.knobs.ingest.dead_key;
            Err(Denied(answer::status(dead, StatusCode::UNAUTHORIZED)))
        } else if secrets.contains(&public_key) {
            Ok(Admission::Public)
        } else if secrets.iter().any(is_signed) {
            Ok(Admission::Signed)
        } else {
            Err(Denied::UNAUTHORIZED)
        }
    }

    /// A nonce is good once, and only near its time.
    fn take_nonce(&mut self, headers: &HeaderMap, now: Timestamp) -> Result<(), Denied> {
        let window = i64::try_from(self.knobs.sign.window_seconds).unwrap_or(i64::MAX);
        let oldest = now.as_second().saturating_sub(window);
        let newest = now.as_second().saturating_add(window);
        let timestamp: i64 = (header(headers, "x-errova-timestamp").parse().ok())
            .filter(|timestamp| (oldest..=newest).contains(timestamp))
            .ok_or(Denied::UNAUTHORIZED)?;
        self.nonces = self.nonces.split_off(&(oldest, String::new()));
        let nonce = header(headers, "x-errova-nonce").to_owned();
        if self.nonces.insert((timestamp, nonce)) {
            Ok(())
        } else {
            Err(Denied::UNAUTHORIZED)
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

fn is_signed(request: &Request<Bytes>, public_key: &str, secret: &str, knobs: &SignKnobs) -> bool {
    let headers = request.headers();
    let expected = signature(
        [
            header(headers, "x-errova-timestamp"),
            header(headers, "x-errova-nonce"),
            public_key,
            &sha256_hex(request.body()),
        ],
        secret,
        knobs,
    );
    header(headers, "x-errova-signature") == expected
}

/// The signature over timestamp, nonce, public key and SHA-256 of the body in hex, as a sender of events
/// computes it.
pub fn signature(parts: [&str; 4], secret: &str, knobs: &SignKnobs) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, parts.join(&knobs.separator).as_bytes());
    let written = match knobs.encoding {
        Encoding::Hex => hex(tag.as_ref()),
        Encoding::Base64 => BASE64_STANDARD.encode(tag.as_ref()),
    };
    format!("{}{written}", knobs.prefix)
}

fn count(body: &[u8]) -> Result<usize, Denied> {
    match serde_json::from_slice(body) {
        Ok(Json::Object(_)) => Ok(1),
        Ok(Json::Array(events)) if events.len() <= MOST_EVENTS => Ok(events.len()),
        _ => Err(Denied::BAD_REQUEST),
    }
}
