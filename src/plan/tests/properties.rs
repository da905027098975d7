//! What holds in every world. A world has no status in it, so none can change a plan.

use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, option, prelude::*};

use super::{
    simulator::{End, PATROL, Simulator, has_lost_both},
    *,
};
use crate::{
    api::condition::Reason,
    ledger::{
        fixtures::{
            DAY, HOLDER, HOUR, MINUTE, NOON, PATIENCE, SECOND, SPEC, ahead, place,
            walk::{any_ledger, any_time, steps, walk},
        },
        record::Ledger,
    },
    moment::after,
    plan::{
        fixtures::{INPUTS, RENDERING, delivered, pod, volume_pod},
        world::{Deletion, Inspection, Memory, Resource, Rhythm, Target, Task, Wait},
    },
};

/// A ledger that transitions lead to, and the time at which they did.
fn reachable() -> BoxedStrategy<(Ledger, Timestamp)> {
    steps()
        .prop_map(|steps| {
            let (_, at, ledger) = walk(&steps).pop().unwrap();
            (ledger, at)
        })
        .boxed()
}

fn any_resource() -> BoxedStrategy<Resource> {
    let retain = option::of(Just(PATIENCE));
    let deletion =
        (retain, any::<bool>(), any::<bool>()).prop_map(|(retain, claimed, terminating)| {
            Resource::Deleting(Deletion {
                retain,
                claimed,
                terminating,
            })
        });
    prop_oneof![8 => any_wish(), 2 => deletion, 1 => Just(Resource::Gone)].boxed()
}

fn any_wish() -> BoxedStrategy<Resource> {
    let rhythm = prop_oneof![
        Just(Rhythm::OnRequest),
        (1..100i32).prop_map(|hours| Rhythm::Every(HOUR * hours)),
    ];
    let when = (
        rhythm,
        vec(any_time(), 0..3),
        option::of(any_time()),
        any::<bool>(),
    );
    let life = option::of((10..10_000i32).prop_map(|minutes| MINUTE * minutes));
    let flags = (
        any::<bool>(),
        any::<bool>(),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.9),
    );
    (when, life, flags, 0..3usize, 0..2_000_000i64)
        .prop_map(
            |((rhythm, issued_after, requested_at, renew), life, flags, unresolved, overlap)| {
                let (pods, same_spec, paused, connected) = flags;
                let world = World::test().wishing(|wish| {
                    wish.place = connected.then(place);
                    wish.spec_hash =
                        connected.then(|| if same_spec { SPEC } else { "spec-2" }.to_owned());
                    wish.expires_after = life;
                    wish.paused = paused;
                    wish.max_unresolved = unresolved;
                    wish.claimed = pods;
                    wish.rotation.rhythm = rhythm;
                    wish.rotation.issued_after = issued_after;
                    wish.rotation.requested_at = requested_at;
                    wish.rotation.renew = renew;
                    wish.rotation.patience.pods = pods;
                    wish.rotation.patience.overlap = SignedDuration::from_secs(overlap);
                });
                world.resource
            },
        )
        .boxed()
}

fn any_wait() -> BoxedStrategy<(Task, Wait)> {
    let task = prop_oneof![
        Just(Task::Rehearse),
        Just(Task::Verify),
        Just(Task::Deliver),
        Just(Task::Inspect),
        Just(Task::Prove),
        Just(Task::Revoke),
        Just(Task::RemoveTarget),
    ];
    (task, any_time(), 0..9u32)
        .prop_map(|(task, until, n)| {
            let obstacle = Obstacle::new(Reason::ProviderUnavailable, "it failed before");
            (task, Wait { until, n, obstacle })
        })
        .boxed()
}

fn any_memory() -> BoxedStrategy<Memory> {
    let looks = (
        option::of(any_time()),
        option::of((0..4u64, any_time())),
        option::of((0..4u64, any_time())),
    );
    (
        vec(any_wait(), 0..3),
        looks,
        prop::bool::weighted(0.1),
        any::<bool>(),
    )
        .prop_map(|(waits, (closed, refused, written), stopping, rehearsed)| {
            let mut memory = World::test().memory;
            memory.waits = waits.into_iter().collect();
            memory.stopping = stopping;
            memory.closed = closed.map(|until| (Blocked::PodsUnknown, until));
            memory.refused_since = refused.map(|(g, at)| (Generation(g), at));
            memory.delivered = written.map(|(epoch, at)| (Epoch(epoch), at));
            memory.rehearsed = rehearsed.then(|| RENDERING.to_owned());
            memory
        })
        .boxed()
}

/// How the target stands to the ledger.
#[derive(Clone, Copy, Debug)]
enum Stand {
    Absent,
    Foreign,
    Delivered,
    Damaged,
    Older,
    Newer,
    Immutable,
}

fn stand() -> BoxedStrategy<Stand> {
    prop_oneof![
        2 => Just(Stand::Absent),
        1 => Just(Stand::Foreign),
        6 => Just(Stand::Delivered),
        2 => Just(Stand::Damaged),
        2 => Just(Stand::Older),
        1 => Just(Stand::Newer),
        1 => Just(Stand::Immutable),
    ]
    .boxed()
}

impl Stand {
    fn of(self, ledger: &Ledger) -> Target {
        if matches!(self, Self::Foreign) {
            return Target::Foreign { holder: None };
        }
        let target = match &ledger.current {
            Some(_) => delivered(ledger),
            None => return Target::Absent,
        };
        let Target::Ours(mut seen) = target else {
            return target;
        };
        match self {
            Self::Absent => return Target::Absent,
            Self::Damaged => seen.sound = false,
            Self::Older => seen.epoch = Epoch(seen.epoch.0.saturating_sub(1)),
            Self::Newer => seen.epoch = seen.epoch.next(),
            Self::Immutable => seen.immutable = true,
            Self::Delivered | Self::Foreign => {}
        }
        Target::Ours(seen)
    }
}

/// Any surroundings for a ledger; `now` is the moment at which it is looked at.
fn any_world(
    ledger: impl Strategy<Value = (Option<Ledger>, Timestamp)> + 'static,
) -> BoxedStrategy<(World, Timestamp)> {
    let look = option::of((option::of(vec(any_time(), 0..3)), any_time()));
    let around = (
        any_memory(),
        look,
        option::of(any_time()),
        vec(0..4u64, 0..2),
    );
    let obstacle = option::weighted(0.2, Just(Obstacle::new(Reason::NotAllowed, "not admitted")));
    (ledger, any_resource(), stand(), obstacle, around)
        .prop_map(
            |((ledger, now), resource, stand, obstacle, (memory, look, proven, resolved))| {
                let mut world = World::test();
                world.resource = resource;
                world.target = ledger
                    .as_ref()
                    .map_or(Target::Absent, |ledger| stand.of(ledger));
                world.ledger = ledger;
                world.obstacle = obstacle;
                world.memory = memory;
                world.resolved = resolved.into_iter().map(Generation).collect();
                world.fresh.proven = proven;
                world.fresh.inspected = look.map(|(pods, at)| {
                    let pods =
                        pods.map(|starts| starts.into_iter().map(|at| pod("p", at)).collect());
                    Inspection { at, pods }
                });
                (world, now)
            },
        )
        .boxed()
}

/// Any ledger at all, reachable or not, at any time.
fn wild() -> BoxedStrategy<(World, Timestamp)> {
    any_world((option::weighted(0.95, any_ledger()), any_time())).boxed()
}

/// A ledger that transitions lead to, some time after the last of them.
fn tame() -> BoxedStrategy<(World, Timestamp)> {
    let ledger = (reachable(), 0..3_000i32, prop::bool::weighted(0.95));
    any_world(ledger.prop_map(|((ledger, at), minutes, there)| {
        (there.then_some(ledger), after(at, MINUTE * minutes))
    }))
    .boxed()
}

fn ends() -> BoxedStrategy<Vec<End>> {
    let end = prop_oneof![
        4 => Just(End::Well),
        1 => Just(End::Refused),
        1 => Just(End::Unknown),
        1 => Just(End::Flawed),
    ];
    vec(end, 1..40).boxed()
}

/// Nobody is in the way: asked for, not paused, connected, and the target can be written.
fn unhindered(mut world: World) -> World {
    if !matches!(world.resource, Resource::Wanted(_)) {
        world.resource = World::test().resource;
    }
    let fixed = matches!(&world.target, Target::Ours(seen) if seen.immutable);
    if fixed || !world.is_delivered() {
        world.target = Target::Absent;
    }
    let patience = PATIENCE;
    world.obstacle = None;
    world.memory = Memory::blank(HOLDER);
    world.wishing(|wish| {
        wish.place = Some(place());
        wish.spec_hash = Some(SPEC.to_owned());
        wish.paused = false;
        wish.max_unresolved = usize::MAX;
        wish.expires_after = None;
        wish.rotation.rhythm = Rhythm::OnRequest;
        wish.rotation.patience = patience;
        wish.rotation.issued_after.clear();
        INPUTS.clone_into(&mut wish.inputs);
    })
}

fn is_settled(world: &World) -> bool {
    let settled = world.ledger.as_ref().is_some_and(|ledger| {
        let fits = ledger
            .current
            .as_ref()
            .is_some_and(|c| c.origin.spec_hash == SPEC);
        let quiet =
            ledger.intent.is_none() && ledger.pending.is_none() && ledger.retiring.is_none();
        fits && quiet && ledger.deleting.is_empty()
    });
    settled && world.is_delivered()
}

proptest! {
    #[test]
    fn every_world_has_one_plan_and_it_wakes_in_the_future((world, now) in wild()) {
        let first = plan(&world, now);
        let again = plan(&world.clone(), now);
        prop_assert_eq!(format!("{first:?}"), format!("{again:?}"));
        prop_assert!(first.wake.is_none_or(|wake| wake > now), "{:?}", first.wake);
        prop_assert!(first.effect.is_none() || first.wake.is_none());
    }

    #[test]
    fn nothing_is_issued_without_need_or_right((world, now) in wild()) {
        if let Some(Effect::Issue(order)) = plan(&world, now).effect {
            let wish = world.wish();
            prop_assert!(wish.is_some_and(|wish| !wish.paused));
            prop_assert!(world.obstacle.is_none() && !world.memory.stopping);
            let foreign = matches!(world.target, Target::Foreign { .. });
            prop_assert!(!foreign);
            let ledger = world.ledger.clone().unwrap_or_else(Ledger::test);
            prop_assert!(ledger.intent.is_none() && ledger.pending.is_none());
            prop_assert!(ledger.retiring.is_none() && ledger.tombstone.is_none());
            prop_assert!(ledger.abandoned.len() <= wish.unwrap().max_unresolved);
            prop_assert_eq!(order.generation, ledger.attempt.next());
        }
    }

    #[test]
    fn s8_nothing_is_marked_before_every_gate_holds((world, now) in gated()) {
        if let Some(Effect::Mark(retired)) = plan(&world, now).effect {
            let retiring = world.ledger.as_ref().and_then(|ledger| ledger.retiring.as_ref());
            let retiring = retiring.unwrap();
            let patience = super::super::gates::patience(&world).unwrap();
            prop_assert_eq!(retired.id(), &retiring.origin.id);
            prop_assert!(world.is_delivered());
            let since = retiring.distributed_at.unwrap();
            let end = after(since, patience.overlap);
            prop_assert!(end <= now);
            prop_assert!(world.fresh.proven.is_some_and(|at| at >= end));
            let look = world.fresh.inspected.as_ref().unwrap();
            prop_assert!(look.at >= end);
            let late = look.pods.iter().flatten().any(|pod| pod.since <= since && pod.reads_once);
            prop_assert!(!patience.pods || (look.pods.is_some() && !late));
        }
    }

    #[test]
    fn only_what_is_doomed_is_revoked((world, now) in wild()) {
        if let Some(Effect::Revoke(condemned)) = plan(&world, now).effect {
            let ledger = world.ledger.as_ref().unwrap();
            prop_assert!(ledger.deleting.iter().any(|doomed| doomed.origin.id == *condemned.id()));
        }
    }

    #[test]
    fn no_duty_is_slept_over((world, now) in wild()) {
        let plan = plan(&world, now);
        let Some(ledger) = world.ledger.as_ref().filter(|_| plan.effect.is_none()) else {
            return Ok(());
        };
        let wakes_by = |at: Timestamp| at <= now || plan.wake.is_some_and(|wake| wake <= at);
        if let Some(intent) = &ledger.intent {
            prop_assert!(wakes_by(intent.sendable_until), "an intent of another holder");
        }
        if !ledger.deleting.is_empty() {
            let wait = world.memory.waits.get(&Task::Revoke).unwrap();
            prop_assert!(wakes_by(wait.until), "a revocation");
        }
        let kept = ledger.tombstone.is_some_and(|tombstone| tombstone.retain.is_some());
        if let Some(end) = ledger.current.as_ref().and_then(|c| c.origin.expires_at) {
            prop_assert!(kept || wakes_by(end), "the end of a life");
        }
    }
}

/// An overlap that is over or nearly so, looked at and proven, or nearly so.
fn gated() -> BoxedStrategy<(World, Timestamp)> {
    let near = || -2..3i64;
    let pods = option::of(vec((near(), any::<bool>()), 0..3));
    (
        near(),
        near(),
        option::of(near()),
        pods,
        any::<bool>(),
        stand(),
    )
        .prop_map(|(over, looked, proven, pods, asked, stand)| {
            let since = NOON - HOUR;
            let ledger = Ledger::test().issued(NOON - DAY).issued(since - MINUTE);
            let mut world = World::test().with_ledger(ledger.overlapping(since));
            let moment = |seconds| Timestamp::from_second(NOON.as_second() + seconds).unwrap();
            if !matches!(stand, Stand::Delivered | Stand::Absent) {
                world.target = stand.of(world.ledger.as_ref().unwrap());
            }
            let pods = pods.map(|pods| {
                let pods = pods.into_iter().map(|(seconds, once)| {
                    let start = moment(seconds) - HOUR;
                    if once {
                        pod("p", start)
                    } else {
                        volume_pod("v", start)
                    }
                });
                pods.collect()
            });
            world.fresh.proven = proven.map(moment);
            world.fresh.inspected = Some(Inspection {
                at: moment(looked),
                pods,
            });
            (world.rotating(|r| r.patience.pods = asked), moment(over))
        })
        .boxed()
}

proptest! {
    #[test]
    fn any_world_comes_to_rest((world, now) in tame(), ends in ends()) {
        let mut simulator = Simulator::new(world, now);
        let mut ends = ends.into_iter().cycle();
        let rest = simulator.pass(40, || ends.next().unwrap());
        prop_assert!(rest.is_some(), "{:?}", simulator.done);
    }

    /// L1 and L4, unless somebody took the values of both credentials out of the ledger: without faults the asked-for credential is delivered in the end, and is the only one.
    #[test]
    fn l1_every_world_settles_when_faults_stop((world, now) in tame(), ends in ends()) {
        let buried = world.ledger.as_ref().is_some_and(|ledger| ledger.tombstone.is_some());
        prop_assume!(!buried && !world.ledger.as_ref().is_some_and(has_lost_both));
        let mut simulator = Simulator::new(unhindered(world), now);
        let mut ends = ends.into_iter();
        for _ in 0..60 {
            let plan = simulator.pass(40, || ends.next().unwrap_or(End::Well)).unwrap();
            if is_settled(&simulator.world) {
                return Ok(());
            }
            let patrol = after(simulator.now, PATROL);
            simulator.now = plan.wake.map_or(patrol, |wake| wake.max(after(simulator.now, SECOND)));
        }
        prop_assert!(false, "{:?} {:#?}", simulator.done, simulator.world.ledger);
    }

    /// L5: whatever was going on, a deletion without faults leaves nothing behind but doubts.
    #[test]
    fn l5_every_deletion_ends((world, now) in tame()) {
        prop_assume!(!matches!(world.target, Target::Foreign { .. }));
        let kept = |ledger: &Ledger| ledger.tombstone.is_some_and(|t| t.retain.is_some());
        prop_assume!(!world.ledger.as_ref().is_some_and(kept));
        let mut simulator = Simulator::new(world.deleting(), now);
        for _ in 0..20 {
            let plan = simulator.pass(40, || End::Well).unwrap();
            let ledger = simulator.world.ledger.as_ref();
            let doubts_only = ledger.is_none_or(|l| l.recorded().next().is_none() && !l.abandoned.is_empty());
            if doubts_only && matches!(simulator.world.resource, Resource::Gone) {
                return Ok(());
            }
            simulator.now = plan.wake.unwrap_or_else(|| ahead(DAY)).max(after(simulator.now, SECOND));
        }
        prop_assert!(false, "{:?} {:#?}", simulator.done, simulator.world);
    }
}
