//! Downloads of public files, for the sandbox alone.
//!
//! Unlike [`super::network`] it follows redirects, since release archives live behind them, and uses
//! the proxy of the environment. It never carries a credential.
//!
//! # Guarantees
//! Only `https` unless told otherwise, at most five redirects, never more bytes than asked for.
//! Patience is the caller's: every call may be dropped.

use std::{error::Error, io, time::Duration};

const REDIRECTS: usize = 5;
const CONNECT: Duration = Duration::from_secs(15);
const SILENCE: Duration = Duration::from_secs(30);

/// A client for public files.
#[derive(Debug)]
pub struct Downloads {
    #[expect(clippy::disallowed_types, reason = "no provider is spoken to here")]
    client: reqwest::Client,
}

/// Which URLs may be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schemes {
    /// `https` only, redirects included.
    Https,
    /// `http` too: for a server on loopback.
    Any,
}

/// Why a file did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// TLS could not be set up, for instance without root certificates.
    #[error("could not set up a client")]
    Client(#[source] Box<dyn Error + Send + Sync>),
    /// No answer.
    #[error("no answer from {url}")]
    NoAnswer {
        /// What was asked for.
        url: String,
        /// Name resolution, connect, TLS, a redirect that is not followed.
        source: Box<dyn Error + Send + Sync>,
    },
    /// An answer, but no file.
    #[error("{url} answered {status}")]
    Refused {
        /// What was asked for.
        url: String,
        /// The status.
        status: u16,
    },
    /// More than the caller wants to read.
    #[error("{url} is larger than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The bound.
        limit: u64,
    },
    /// The body ended too early.
    #[error("the transfer of {url} broke off")]
    BrokenOff {
        /// What was asked for.
        url: String,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file arrived and could not be kept.
    #[error("could not write what {url} sent")]
    Write {
        /// What was asked for.
        url: String,
        /// Why.
        source: io::Error,
    },
}

impl Downloads {
    /// Prepares a client; nothing is sent yet.
    pub fn new(schemes: Schemes) -> Result<Self, DownloadError> {
        // reqwest panics without one. An error means that there is one already.
        _ = rustls::crypto::ring::default_provider().install_default();
        #[expect(
            clippy::disallowed_methods,
            clippy::disallowed_types,
            reason = "redirects and proxies are wanted here, and no provider is spoken to"
        )]
        let client = reqwest::Client::builder()
            .https_only(schemes == Schemes::Https)
            .redirect(reqwest::redirect::Policy::limited(REDIRECTS))
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .build()
            .map_err(|source| DownloadError::Client(source.into()))?;
        Ok(Self { client })
    }

    /// Hands the file to `sink`, piece by piece.
    pub async fn fetch(
        &self,
        url: &str,
        limit: u64,
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), DownloadError> {
        let url = url.to_owned();
        let mut response = match self.client.get(&url).send().await {
            Ok(response) if response.status().is_success() => response,
            Ok(response) => {
                let status = response.status().as_u16();
                return Err(DownloadError::Refused { url, status });
            }
            Err(source) => {
                return Err(DownloadError::NoAnswer {
                    url,
                    source: source.without_url().into(),
                });
            }
        };
        let mut read = 0;
        loop {
            let piece = match response.chunk().await {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(()),
                Err(source) => {
                    return Err(DownloadError::BrokenOff {
                        url,
                        source: source.without_url().into(),
                    });
                }
            };
            read += piece.len() as u64;
            if read > limit {
                return Err(DownloadError::TooLarge { url, limit });
            }
            if let Err(source) = sink(&piece) {
                return Err(DownloadError::Write { url, source });
            }
        }
    }
}
