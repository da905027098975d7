//! When the current credential is to be replaced, and why.
//!
//! The spread over time is a function of the resource's uid: the same at every look and in every
//! replica, different between resources.

use jiff::{SignedDuration, Timestamp};

use super::world::{Rhythm, Rotation, Wish, World};
use crate::{
    ledger::record::{Cause, Current, Ledger},
    moment::{after, before, part},
};

/// A replacement that is due at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// From when on.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
}

/// The longest spread of a cron schedule.
const LONGEST_SPREAD: SignedDuration = SignedDuration::from_mins(10);

/// The earliest replacement of `current`, if anything asks for one.
pub fn next(world: &World, now: Timestamp) -> Option<Due> {
    let ledger = world.ledger.as_ref()?;
    let (wish, current) = (world.wish()?, ledger.current.as_ref()?);
    let changed = spec_changed(wish, current);
    let asked = asked(wish, ledger, current, world, now);
    let level = level(&wish.rotation, current);
    let routine = routine(world, wish, current);
    let expiry = expiry(world, wish, current);
    let dues = [changed, asked, level, expiry, routine];
    dues.into_iter().flatten().min_by_key(|due| due.at)
}

fn spec_changed(wish: &Wish, current: &Current) -> Option<Due> {
    if current.is_forfeit() {
        return Some(Due {
            at: Timestamp::MIN,
            cause: Cause::LedgerLost,
        });
    }
    let differs = wish
        .spec_hash
        .as_ref()
        .is_some_and(|hash| *hash != current.origin.spec_hash);
    differs.then_some(Due {
        at: Timestamp::MIN,
        cause: Cause::SpecChanged,
    })
}

/// The rotate annotation: acts once if it is later than the last one handled, and not from the future.
fn asked(
    wish: &Wish,
    ledger: &Ledger,
    current: &Current,
    world: &World,
    now: Timestamp,
) -> Option<Due> {
    let request = wish.rotation.requested_at?;
    let handled = request <= ledger.last_rotate_at.unwrap_or(current.origin.at);
    let absurd = request > after(now, world.times.request_ahead());
    let due = Due {
        at: request.min(now),
        cause: Cause::Requested,
    };
    (!handled && !absurd).then_some(due)
}

/// `issuedAfter` is a level: whatever was issued before that instant is replaced once it has passed.
fn level(rotation: &Rotation, current: &Current) -> Option<Due> {
    let open = rotation
        .issued_after
        .iter()
        .filter(|instant| current.origin.at < **instant);
    open.min().map(|at| Due {
        at: *at,
        cause: Cause::Requested,
    })
}

fn routine(world: &World, wish: &Wish, current: &Current) -> Option<Due> {
    let issued = current.origin.at;
    let at = match &wish.rotation.rhythm {
        Rhythm::OnRequest => return None,
        Rhythm::Every(every) => after(issued, spread(*every, &world.owner.uid)),
        Rhythm::Cron(cron, zone) => {
            let start = issued.to_zoned(zone.clone());
            let first = cron.find_next_occurrence(&start, false).ok()?;
            let second = cron.find_next_occurrence(&first, false).ok()?;
            let interval = second.timestamp().duration_since(first.timestamp());
            let room = part(interval, 1, 10).min(LONGEST_SPREAD);
            after(
                first.timestamp(),
                part(room, permille(&world.owner.uid), 1000),
            )
        }
    };
    Some(Due {
        at,
        cause: Cause::Scheduled,
    })
}

/// Two thirds of its life, early enough for overlap, verification and a reserve, and never before half
/// of it.
fn expiry(world: &World, wish: &Wish, current: &Current) -> Option<Due> {
    let end = current.origin.expires_at.filter(|_| wish.rotation.renew)?;
    let issued = current.origin.at;
    let life = end.duration_since(issued);
    let usual = after(issued, spread(part(life, 2, 3), &world.owner.uid));
    let times = &world.times;
    let reserve = wish.rotation.patience.overlap + times.verify_timeout() + times.expiry_reserve();
    let at = usual
        .min(before(end, reserve))
        .max(after(issued, part(life, 1, 2)));
    Some(Due {
        at,
        cause: Cause::BeforeExpiry,
    })
}

/// 90 % to 110 % of `span`, by the resource's uid.
pub fn spread(span: SignedDuration, uid: &str) -> SignedDuration {
    part(span, 900 + permille(uid) / 5, 1000)
}

/// 0 to 1000, evenly over uids (FNV-1a).
fn permille(uid: &str) -> u32 {
    let hash = uid.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    u32::try_from((hash >> 16) % 1001).unwrap_or(0)
}
