//! Is it safe to revoke the retiring credential, and if not, why not.
//!
//! All gates must hold: the successor is in the target since the overlap began, the overlap is over,
//! every Pod has the new value, and the successor was proven valid again after the overlap. A gate that
//! does not hold leaves both valid; it never revokes.

use jiff::Timestamp;

use super::world::{Fresh, PodUse, World};
use crate::{
    ledger::{
        ids::CredentialId,
        record::{Patience, Retiring},
    },
    moment::after,
};

/// The right to mark one retiring credential: its gates hold.
#[derive(Debug, PartialEq, Eq)]
pub struct Retired {
    id: CredentialId,
}

impl Retired {
    /// Which credential.
    pub fn id(&self) -> &CredentialId {
        &self.id
    }
}

/// What keeps the retiring credential alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// Nothing retires.
    Idle,
    /// The target does not hold the successor, or it is not recorded since when.
    NotDistributed,
    /// Both stay valid until then.
    Overlap(Timestamp),
    /// The live target and the Pods were not looked at in this pass.
    NotInspected,
    /// These Pods may still hold the old value. Never empty.
    Pods(Vec<String>),
    /// Pods may not be listed, so it is unknown who holds the old value.
    PodsUnknown,
    /// The successor was not proven again in this pass.
    NotProven,
}

/// What the retiring credential waits for: the wish's word, or that of the tombstone that retains.
pub fn patience(world: &World) -> Option<Patience> {
    let kept = || world.ledger.as_ref()?.tombstone?.retain;
    world
        .wish()
        .map(|wish| wish.rotation.patience)
        .or_else(kept)
}

/// When the overlap ends, if it has begun.
pub fn overlap_end(world: &World, retiring: &Retiring) -> Option<Timestamp> {
    let overlap = patience(world)?.overlap;
    retiring.distributed_at.map(|since| after(since, overlap))
}

/// Opens only if every gate holds.
pub fn open(world: &World, now: Timestamp) -> Result<Retired, Blocked> {
    let retiring = world
        .ledger
        .as_ref()
        .and_then(|ledger| ledger.retiring.as_ref());
    let (Some(retiring), Some(patience)) = (retiring, patience(world)) else {
        return Err(Blocked::Idle);
    };
    if !world.is_delivered() {
        return Err(Blocked::NotDistributed);
    }
    let (Some(since), Some(end)) = (retiring.distributed_at, overlap_end(world, retiring)) else {
        return Err(Blocked::NotDistributed);
    };
    if now < end {
        return Err(Blocked::Overlap(end));
    }
    let inspection = match &world.fresh {
        Fresh {
            inspected: Some(inspection),
            ..
        } if inspection.at >= end => inspection,
        _ => return Err(Blocked::NotInspected),
    };
    if patience.pods {
        let pods = inspection.pods.as_ref().ok_or(Blocked::PodsUnknown)?;
        pods_hold(world, pods, since, now)?;
    }
    if world.fresh.proven.is_none_or(|at| at < end) {
        return Err(Blocked::NotProven);
    }
    Ok(Retired {
        id: retiring.origin.id.clone(),
    })
}

/// Every Pod that reads once started after the value was there; every volume had time to follow.
fn pods_hold(
    world: &World,
    pods: &[PodUse],
    since: Timestamp,
    now: Timestamp,
) -> Result<(), Blocked> {
    let volumes_follow = now >= after(since, world.times.volume_refresh());
    let holds = |pod: &&PodUse| pod.since > since || (!pod.reads_once && volumes_follow);
    let late: Vec<String> = pods
        .iter()
        .filter(|pod| !holds(pod))
        .map(|p| p.name.clone())
        .collect();
    if late.is_empty() {
        Ok(())
    } else {
        Err(Blocked::Pods(late))
    }
}
