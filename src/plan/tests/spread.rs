//! The spread, the scale and the arithmetic under both.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::{
    ledger::fixtures::{DAY, HOUR, MINUTE, SECOND},
    moment::{after, before, part},
    plan::schedule::spread,
};

#[test]
fn uids_are_spread_over_the_whole_range() {
    let spans: Vec<_> = (0..4000)
        .map(|n| spread(HOUR * 10, &format!("uid-{n}")))
        .collect();
    let early = spans.iter().filter(|span| **span < HOUR * 10).count();
    assert!((1800..2200).contains(&early), "{early} of 4000 are early");
    assert!(spans.iter().any(|span| *span < HOUR * 9 + MINUTE * 2));
    assert!(spans.iter().any(|span| *span > HOUR * 11 - MINUTE * 2));
}

#[test]
fn one_scale_shortens_every_duration_but_the_fence_keeps_its_sense() {
    let times = Times::shipped();
    assert_eq!(times.fence(), SECOND * 10);
    assert_eq!(times.of(DAY), DAY);
    let scaled = times.scaled(60);
    assert_eq!(scaled.of(HOUR), MINUTE);
    assert_eq!(scaled.deletion_timeout, SECOND * 10);
    assert_eq!(scaled.fence(), SECOND, "a fifth of the smallest overlap");
    assert_eq!(times.scaled(0), times, "nothing is divided by zero");
    for scale in [1, 2, 60, 600] {
        let times = times.scaled(scale);
        assert!(times.fence() * 5 <= times.of(MINUTE * 5));
        assert!(times.retry() <= times.longest_retry());
        assert!(times.first_backoff() <= times.longest_backoff());
    }
}

#[test]
fn time_stops_at_its_ends() {
    assert_eq!(after(Timestamp::MAX, SECOND), Timestamp::MAX);
    assert_eq!(after(NOON, SignedDuration::MAX), Timestamp::MAX);
    assert_eq!(before(Timestamp::MIN, SECOND), Timestamp::MIN);
    assert_eq!(before(NOON, SignedDuration::MAX), Timestamp::MIN);
    assert_eq!(part(SECOND, 1, 0), SECOND);
    assert_eq!(part(SECOND, 2, 3), SignedDuration::from_millis(666));
}

proptest! {
    #[test]
    fn a_spread_stays_within_ten_percent_and_is_the_same_each_time(
        seconds in 0i64..1_000_000_000,
        uid in "\\PC{0,40}",
    ) {
        let span = SignedDuration::from_secs(seconds);
        let spread_span = spread(span, &uid);
        prop_assert!(part(span, 9, 10) <= spread_span && spread_span <= part(span, 11, 10));
        prop_assert_eq!(spread_span, spread(span, &uid));
    }

    #[test]
    fn no_span_breaks_the_arithmetic(seconds in any::<i64>(), at in any::<i32>(), n in any::<u32>(), d in any::<u32>()) {
        let span = SignedDuration::from_secs(seconds);
        let at = Timestamp::from_second(i64::from(at)).unwrap();
        let _ = part(span, n, d);
        let later = after(at, span);
        prop_assert_eq!(later >= at, seconds >= 0);
        if Timestamp::MIN < later && later < Timestamp::MAX {
            prop_assert_eq!(before(later, span), at);
        }
    }
}
