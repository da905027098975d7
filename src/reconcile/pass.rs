//! One pass over one credential: the world that the planner sees, and what the shell holds beside it.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

use super::{Context, Error};
use crate::{
    api::machine_token::MachineToken,
    ledger::{
        ids::{Epoch, Generation},
        proof::Stored,
        record::{Ledger, Owner, Place},
        store::{Snapshot, Swap},
    },
    moment::after,
    plan::{
        Obstacle, World,
        world::{Target, Task, Wait},
    },
    provider::Request,
    secret_value::SecretValue,
    target::{render::Presentation, sighting::Sighting, store::Asked},
    telemetry::{events::Happening, metrics::ShownCondition},
};

/// What one pass knows.
#[derive(Debug)]
pub struct Pass {
    /// The resource, while it is there.
    pub token: Option<Arc<MachineToken>>,
    /// What the planner sees.
    pub world: World,
    /// The ledger that `world` shows, with what a compare-and-swap needs.
    pub snapshot: Option<Snapshot>,
    /// When that ledger was asked for, if it was read or written in this pass.
    pub asked: Option<Asked>,
    /// The target that `world` shows, with what a conditional write needs.
    pub sighting: Option<Sighting>,
    /// When the target was last seen.
    pub seen_at: Instant,
    /// The target is read, not watched: nothing tells when somebody changes it.
    pub polled: bool,
    /// How the target should look.
    pub presentation: Option<Presentation>,
    /// What a create asks for.
    pub request: Option<Request>,
    /// The last effect found that somebody else was faster.
    pub superseded: bool,
    /// The conditions that the report will show.
    pub shown: Vec<ShownCondition>,
    /// What to tell about this pass.
    pub happened: Vec<(Happening, String)>,
}

impl Pass {
    /// Whose pass this is.
    pub fn owner(&self) -> &Owner {
        &self.world.owner
    }

    /// The name of the target: the ledger's word, so that it stays what it was.
    pub fn target_name(&self) -> String {
        let ledger = self
            .snapshot
            .as_ref()
            .map(|snapshot| snapshot.ledger.target.clone());
        let wished = || {
            self.presentation
                .as_ref()
                .map(|presentation| presentation.name.clone())
        };
        ledger.or_else(wished).unwrap_or_default()
    }

    /// The ledger as a live read or a reply showed it.
    pub fn see_ledger(&mut self, snapshot: Option<Snapshot>, asked: Asked, ctx: &Context) {
        match &snapshot {
            Some(snapshot) => ctx.ledgers.record(snapshot),
            None => ctx.ledgers.forget(&self.world.owner.uid),
        }
        self.world.ledger = snapshot.as_ref().map(|snapshot| snapshot.ledger.clone());
        self.snapshot = snapshot;
        self.asked = Some(asked);
    }

    /// The target as a live read or a reply showed it.
    pub fn see_target(&mut self, sighting: Option<Sighting>, ctx: &Context) {
        ctx.targets.record(
            &self.world.owner.namespace,
            &self.target_name(),
            sighting.as_ref(),
        );
        let target = sighting
            .as_ref()
            .map(|sighting| sighting.target(&self.world.owner));
        self.world.target = target.unwrap_or(Target::Absent);
        self.sighting = sighting;
        self.seen_at = Instant::now();
    }

    /// Reads the ledger live.
    pub async fn read_ledger(&mut self, ctx: &Context) -> Result<(), Error> {
        let asked = Asked::now(&ctx.clock);
        let owner = self.world.owner.clone();
        let live = ctx.ledger_store.read(&owner).await;
        let live = live.map_err(|source| Error::ReadLedger { owner, source })?;
        self.see_ledger(live, asked, ctx);
        Ok(())
    }

    /// Reads the target live.
    pub async fn read_target(&mut self, ctx: &Context) -> Result<(), Error> {
        let owner = self.world.owner.clone();
        let live = ctx
            .target_store
            .look(&owner.namespace, &self.target_name())
            .await;
        let live = live.map_err(|source| Error::ReadTarget { owner, source })?;
        self.see_target(live, ctx);
        Ok(())
    }

    /// One transition of the ledger. Whether it was ours; if not, the world shows what is there.
    pub async fn swap(
        &mut self,
        next: Option<Ledger>,
        value: Option<(Generation, &SecretValue)>,
        ctx: &Context,
    ) -> Result<bool, Error> {
        let (Some(next), Some(before)) = (next, &self.snapshot) else {
            self.read_ledger(ctx).await?; // planned on something that is not there any more
            return Ok(false);
        };
        let asked = Asked::now(&ctx.clock);
        let swap = ctx.ledger_store.swap(before, next, value).await;
        let owner = || self.world.owner.clone();
        match swap.map_err(|source| Error::WriteLedger {
            owner: owner(),
            source,
        })? {
            Swap::Won(snapshot) => {
                self.see_ledger(Some(snapshot), asked, ctx);
                Ok(true)
            }
            Swap::Lost(live) => {
                self.superseded = true;
                self.see_ledger(live, asked, ctx);
                Ok(false)
            }
        }
    }

    /// The stored value of an attempt; reads the ledger if this pass has not, or not since `since`.
    pub async fn stored(
        &mut self,
        generation: Generation,
        since: Option<Instant>,
        ctx: &Context,
    ) -> Result<Option<&Stored<SecretValue>>, Error> {
        let young = self
            .asked
            .is_some_and(|asked| since.is_none_or(|since| asked.monotonic >= since));
        let held = self
            .snapshot
            .as_ref()
            .is_some_and(|s| s.value(generation).is_some());
        if !(young && held) {
            self.read_ledger(ctx).await?;
        }
        Ok(self
            .snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.value(generation)))
    }

    /// A task failed: not again before a wait that doubles.
    pub fn fail(&mut self, task: Task, obstacle: Obstacle, now: Timestamp) {
        let n = self.world.memory.waits.get(&task).map_or(0, |wait| wait.n);
        let (first, longest) = (self.world.times.retry(), self.world.times.longest_retry());
        let pause = first.saturating_mul(1 << n.min(16)).min(longest);
        let wait = Wait {
            until: after(now, pause),
            n: n.saturating_add(1),
            obstacle,
        };
        self.world.memory.waits.insert(task, wait);
    }

    /// A task succeeded.
    pub fn succeed(&mut self, task: Task) {
        self.world.memory.waits.remove(&task);
    }

    /// Something to tell about this pass.
    pub fn tell(&mut self, happening: Happening, note: impl Into<String>) {
        self.happened.push((happening, note.into()));
    }

    /// Where the armed intent goes.
    pub fn armed_place(&self) -> Option<Place> {
        Some(
            self.snapshot
                .as_ref()?
                .ledger
                .intent
                .as_ref()?
                .place
                .clone(),
        )
    }

    /// Where an attempt was issued.
    pub fn place_of(&self, generation: Generation) -> Option<Place> {
        let mut recorded = self.snapshot.as_ref()?.ledger.recorded();
        Some(
            recorded
                .find(|origin| origin.generation == generation)?
                .place
                .clone(),
        )
    }

    /// The attempt in use.
    pub fn current_generation(&self) -> Option<Generation> {
        Some(
            self.snapshot
                .as_ref()?
                .ledger
                .current
                .as_ref()?
                .origin
                .generation,
        )
    }

    /// The ledger's epoch.
    pub fn epoch(&self) -> Option<Epoch> {
        Some(self.snapshot.as_ref()?.ledger.epoch)
    }

    /// What to tell about the last promotion.
    pub fn promotion(&self) -> Option<String> {
        let current = self.snapshot.as_ref()?.ledger.current.as_ref()?;
        let epoch = self.epoch().unwrap_or_default();
        Some(format!(
            "{} authenticates and is current, epoch {epoch}",
            current.origin.id
        ))
    }

    /// What to tell about a write of the target.
    pub fn delivery(&self, repair: bool) -> (Happening, String) {
        let current = self
            .snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.ledger.current.as_ref());
        let name = self.target_name();
        let Some(current) = current else {
            return (Happening::Delivered, format!("wrote Secret {name}"));
        };
        let (id, cause) = (&current.origin.id, current.origin.cause.as_str());
        let epoch = self.epoch().unwrap_or_default();
        match &current.previous_id {
            _ if repair => (
                Happening::TargetRestored,
                format!("restored Secret {name} with {id}"),
            ),
            Some(previous) => {
                let note = format!(
                    "Secret {name} holds {id} instead of {previous}, epoch {epoch} ({cause})"
                );
                (Happening::Rotated, note)
            }
            None => (
                Happening::Delivered,
                format!("Secret {name} holds {id}, epoch {epoch} ({cause})"),
            ),
        }
    }
}
