//! In virtual time.

use futures::{FutureExt as _, future::join_all};

use super::*;

fn budget(per_minute: u32, in_flight: u32) -> Arc<Budget> {
    Arc::new(Budget::new(
        NonZeroU32::new(per_minute).unwrap(),
        NonZeroU32::new(in_flight).unwrap(),
        Clock::runtime(Timestamp::UNIX_EPOCH),
    ))
}

/// A budget whose rate is no limit within a test.
fn quick(in_flight: u32) -> Arc<Budget> {
    budget(60_000, in_flight)
}

const SECOND: Duration = Duration::from_secs(1);

/// Puts callers into their lanes, in order, while the door is held; returns the order in which they came in.
async fn order_of(budget: &Arc<Budget>, callers: &[(Lane, u32)]) -> Vec<(Lane, u32)> {
    let came = Arc::new(Mutex::new(Vec::new()));
    let held = budget.door.turn(Lane::Check).await;
    let mut tasks = Vec::new();
    for caller in callers.iter().copied() {
        let (budget, came) = (budget.clone(), came.clone());
        tasks.push(tokio::spawn(async move {
            let _permit = budget.admit(caller.0).await.unwrap();
            came.lock().unwrap().push(caller);
        }));
        tokio::task::yield_now().await;
    }
    drop(held);
    join_all(tasks).await;
    Arc::try_unwrap(came).unwrap().into_inner().unwrap()
}

#[tokio::test(start_paused = true)]
async fn calls_are_spread_over_the_minute_after_a_first_burst() {
    let budget = budget(60, 4);
    let begun = Instant::now();
    for _ in 0..64 {
        budget.admit(Lane::Issue).await.unwrap();
    }
    let took = begun.elapsed();
    assert!(took >= SECOND * 60 && took < SECOND * 61, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_allowed_are_in_flight() {
    let budget = quick(2);
    let first = budget.admit(Lane::Issue).await.unwrap();
    let _second = budget.admit(Lane::Issue).await.unwrap();
    let third = budget.admit(Lane::Revoke);
    tokio::pin!(third);
    assert!(tokio::time::timeout(SECOND, &mut third).await.is_err());
    drop(first);
    assert!(tokio::time::timeout(SECOND, third).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn within_a_lane_the_first_to_ask_is_the_first_to_go() {
    let callers: Vec<_> = (0..20).map(|n| (Lane::Rotate, n)).collect();
    assert_eq!(order_of(&quick(1), &callers).await, callers);
}

#[tokio::test(start_paused = true)]
async fn revocation_overtakes_and_nothing_starves() {
    let mut callers = Vec::new();
    for lane in [Lane::Check, Lane::Rotate, Lane::Issue, Lane::Revoke] {
        callers.extend((0..16).map(|n| (lane, n)));
    }
    let came = order_of(&quick(1), &callers).await;
    assert_eq!(came[0], (Lane::Revoke, 0));
    let within = |lane, first: usize| came[..first].iter().filter(|c| c.0 == lane).count();
    assert_eq!(within(Lane::Revoke, 32), 16);
    assert_eq!(within(Lane::Check, 32), 8);
    assert_eq!(within(Lane::Issue, 32), 4);
    assert_eq!(within(Lane::Rotate, 32), 4);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_no_gap() {
    let budget = quick(1);
    let held = budget.admit(Lane::Issue).await.unwrap();
    let mut at_the_door = Box::pin(budget.admit(Lane::Issue));
    let mut in_the_lane = Box::pin(budget.admit(Lane::Revoke));
    let mut behind = Box::pin(budget.admit(Lane::Check));
    for waiting in [&mut at_the_door, &mut in_the_lane, &mut behind] {
        assert!(waiting.now_or_never().is_none());
    }
    drop(in_the_lane);
    drop(at_the_door);
    drop(held);
    behind.await.unwrap();
    let next = tokio::time::timeout(SECOND, budget.admit(Lane::Check)).await;
    assert!(next.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn any_number_of_callers_may_go_away() {
    let budget = quick(1);
    let turn = budget.door.turn(Lane::Issue).await;
    let mut callers: Vec<_> = (0..50_000)
        .map(|_| Box::pin(budget.door.turn(Lane::Issue)))
        .collect();
    for caller in &mut callers {
        assert!(caller.now_or_never().is_none());
    }
    drop(callers);
    drop(turn);
    assert!(budget.door.turn(Lane::Issue).now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_was_called_and_goes_away_passes_its_turn_on() {
    let budget = quick(1);
    let turn = budget.door.turn(Lane::Issue).await;
    let mut called = Box::pin(budget.door.turn(Lane::Issue));
    let mut behind = Box::pin(budget.door.turn(Lane::Issue));
    assert!((&mut called).now_or_never().is_none());
    assert!((&mut behind).now_or_never().is_none());
    drop(turn); // `called` has been called and does not know it yet
    drop(called);
    assert!(behind.now_or_never().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_93_a_short_pause_is_sat_out_by_the_whole_connection() {
    let budget = quick(4);
    let permit = budget.admit(Lane::Issue).await.unwrap();
    budget.throttled(&permit, Some(SECOND * 10));
    let begun = Instant::now();
    for lane in LANES_TO_TRY {
        budget.admit(lane).await.unwrap();
        assert!(begun.elapsed() >= SECOND * 10);
    }
    assert!(begun.elapsed() < SECOND * 11);
}

const LANES_TO_TRY: [Lane; 4] = [Lane::Revoke, Lane::Issue, Lane::Rotate, Lane::Check];

#[tokio::test(start_paused = true)]
async fn a_93_a_long_pause_sends_everybody_away_until_it_is_over() {
    let budget = quick(2);
    let first = budget.admit(Lane::Issue).await.unwrap();
    let second = budget.admit(Lane::Issue).await.unwrap();
    let mut waiting = Box::pin(budget.admit(Lane::Issue));
    assert!((&mut waiting).now_or_never().is_none());
    budget.throttled(&first, Some(SECOND * 300));
    drop((first, second));
    let until = Instant::now() + SECOND * 300;
    assert_eq!(waiting.await.unwrap_err(), Paused { until });
    assert_eq!(budget.paused_until(), Some(until));
    tokio::time::advance(SECOND * 300).await;
    assert_eq!(budget.paused_until(), None);
    budget.admit(Lane::Issue).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_93_an_absurd_pause_is_cut_to_an_hour() {
    let budget = quick(1);
    let permit = budget.admit(Lane::Issue).await.unwrap();
    budget.throttled(&permit, Some(Duration::from_secs(u64::MAX)));
    assert_eq!(budget.paused_until(), Some(Instant::now() + SECOND * 3600));
}

#[tokio::test(start_paused = true)]
async fn a_93_without_a_time_the_pause_doubles_until_the_provider_serves() {
    let budget = quick(1);
    let pause = async || {
        let permit = budget.admit(Lane::Issue).await.unwrap();
        budget.throttled(&permit, None);
        let left = budget.paused_until().unwrap() - Instant::now();
        tokio::time::advance(left).await;
        left.as_secs()
    };
    for expected in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
        assert_eq!(pause().await, expected);
    }
    let permit = budget.admit(Lane::Issue).await.unwrap();
    budget.served(&permit);
    drop(permit);
    assert_eq!(pause().await, 60);
}

#[tokio::test(start_paused = true)]
async fn a_93_answers_of_one_wave_count_once() {
    let budget = quick(3);
    let mut wave = Vec::new();
    for _ in 0..3 {
        wave.push(budget.admit(Lane::Issue).await.unwrap());
    }
    for permit in &wave {
        budget.throttled(permit, None);
        budget.served(permit); // one that was admitted before the pause resets nothing
    }
    assert_eq!(budget.paused_until(), Some(Instant::now() + SECOND * 60));
    tokio::time::advance(SECOND * 60).await;
    wave.clear();
    let permit = budget.admit(Lane::Issue).await.unwrap();
    budget.throttled(&permit, None);
    assert_eq!(budget.paused_until(), Some(Instant::now() + SECOND * 120));
}

#[tokio::test(start_paused = true)]
async fn a_93_a_shorter_wish_does_not_shorten_a_pause() {
    let budget = quick(2);
    let permit = budget.admit(Lane::Issue).await.unwrap();
    budget.throttled(&permit, Some(SECOND * 100));
    budget.throttled(&permit, Some(SECOND));
    assert_eq!(budget.paused_until(), Some(Instant::now() + SECOND * 100));
}
