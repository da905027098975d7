//! Where ids and values come from: a seeded generator, so that a run can be repeated; and digests,
//! the only form in which a value may be shown.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

use crate::secret_value::SecretValue;

/// Part of every value ever handed out. Whoever finds it in a log, an event or a metric has found a
/// leak. Hex, because some providers' formats allow nothing else.
pub const CANARY: &str = "c0ffee5e";

/// The first half of a SHA-256, in hex: enough to tell values apart, of no use to anyone else.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Digest(String);

impl Digest {
    /// The digest of a value.
    pub fn of(value: &str) -> Self {
        Self(hex(&digest(&SHA256, value.as_bytes()).as_ref()[..16]))
    }
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The SHA-256 of `bytes`, in hex.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// `SplitMix64`: small, and the same sequence for the same seed in every release. Not for secrecy:
/// these values open nothing.
#[derive(Debug)]
pub(super) struct Generator(u64);

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// An id: `mt_5d0c…`.
    pub(super) fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}{:016x}", self.next())
    }

    /// A value with the canary in it.
    pub(super) fn value(&mut self, prefix: &str) -> SecretValue {
        let (high, low) = (self.next(), self.next());
        SecretValue::new(format!("{prefix}{CANARY}{high:016x}{low:016x}"))
    }

    /// True in `probability` of all calls.
    pub(super) fn chance(&mut self, probability: f64) -> bool {
        const STEPS: u32 = 1 << 24;
        let step = u32::try_from(self.next() >> 40).unwrap_or(u32::MAX);
        f64::from(step) / f64::from(STEPS) < probability
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_values_and_another_seed_others() {
        let value = |seed| Generator::new(seed).value("erv_").expose().to_owned();
        assert_eq!(value(7), value(7));
        assert_ne!(value(7), value(8));
        assert!(value(7).contains(CANARY));
    }

    #[test]
    fn a_chance_is_roughly_what_it_says() {
        let mut generator = Generator::new(1);
        let hits = (0..10_000).filter(|_| generator.chance(0.25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
        assert!(!generator.chance(0.0));
        assert!(generator.chance(1.0));
    }
}
