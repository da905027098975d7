//! `kill -9` of the real operator at random moments of issue, rotation and deletion.
//!
//! ```sh
//! HANDOVER_SEED=7 cargo test --test cluster kill_campaign -- --ignored --nocapture
//! ```
//!
//! Every fifth kill a new token. The operator is started again at once; a create that was armed when it
//! died is never sent again, so it may leave a token at the provider that only status can name.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use handover::{
    api::annotations,
    ledger::marker::Marker,
    sandbox::operator::Operator,
    simulator::{Fault, Operation, Truth, Wait},
};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{consumers::Consumers, place::Place, plane, world::World};

const SCALE: u32 = 60;

/// An abandoned create, two overlaps, and a restart on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

const KILLS_PER_TOKEN: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_operator_is_killed_at_random_moments() {
    if !plane::is_off() {
        Campaign::begin(setting("HANDOVER_SEED", 1))
            .await
            .run(5)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "seven minutes; before a release"]
async fn kill_campaign() {
    let seed = setting("HANDOVER_SEED", 1);
    let kills = usize::try_from(setting("HANDOVER_KILLS", 100)).unwrap();
    Campaign::begin(seed).await.run(kills).await;
}

#[expect(clippy::disallowed_methods, reason = "the settings of these tests")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

struct Campaign {
    place: Arc<Place>,
    operator: Option<Operator>,
    dice: Dice,
    begun: Instant,
    killed: usize,
    kills: usize,
    ticks: usize,
    unresolved: usize,
}

impl Campaign {
    async fn begin(seed: u64) -> Self {
        eprintln!("seed {seed}");
        let world = World::install(&["web"]).await;
        let place = Place::new(&Arc::new(world), "web").await;
        let patient =
            json!({ "maxUnresolved": 100, "requests": { "timeout": "2s", "perMinute": 600 } });
        place.change_connection(patient).await.unwrap();
        // A provider that takes its time, so that kills also fall between an effect and its answer.
        for op in [
            Operation::TokenCreate,
            Operation::TokenDelete,
            Operation::AuthCheck,
        ] {
            place
                .provider
                .strike(op, Fault::Stall(Wait(Duration::from_millis(100))));
        }
        let mut campaign = Self {
            place: Arc::new(place),
            operator: None,
            dice: Dice(seed),
            begun: Instant::now(),
            killed: 0,
            kills: 0,
            ticks: 0,
            unresolved: 0,
        };
        campaign.start();
        campaign
    }

    fn start(&mut self) {
        let binary = Path::new(env!("CARGO_BIN_EXE_handover-sandbox"));
        let operator = Operator::start(&self.place.world.plane, binary, SCALE);
        self.operator = Some(operator.unwrap());
    }

    async fn run(mut self, kills: usize) {
        self.kills = kills;
        for n in 0..kills.div_ceil(KILLS_PER_TOKEN) {
            self.live_and_die(&format!("token-{n}")).await;
        }
        for (intent, creates) in self.creates() {
            assert_eq!(creates, 1, "{intent} was sent more than once");
        }
        eprintln!(
            "{} kills in {:.0} s: {} ticks, 0 refused, {} creates for as many intents, {} left unresolved",
            self.killed,
            self.begun.elapsed().as_secs_f32(),
            self.ticks,
            self.creates().len(),
            self.unresolved,
        );
    }

    /// Issue, three rotations and deletion of one token, a kill in each.
    async fn live_and_die(&mut self, token: &str) {
        let place = self.place.clone();
        place
            .ask(token, json!({ "rotation": { "overlap": "5m" } }))
            .await
            .unwrap();
        self.kill_within("issue", Duration::from_secs(1)).await;
        let ready = async || place.is_ready(token).await;
        place.until(PATIENCE, "issued", ready).await;

        let consumers = Consumers::start(&place, token);
        for n in 1..=KILLS_PER_TOKEN - 2 {
            rotate(&place, token).await;
            // The moments in which something is sent are a tenth of the time, and half of the kills.
            let span = if self.dice.below(2) == 0 { 800 } else { 7_000 };
            self.kill_within("rotation", Duration::from_millis(span))
                .await;
            let rotated = async || {
                let status = place.status(token).await;
                status.rotations == i64::try_from(n).ok()
                    && status.retiring.is_none()
                    && place.is_ready(token).await
            };
            place.until(PATIENCE, "rotated", rotated).await;
        }
        let (ticks, refused) = consumers.stop().await;
        assert_eq!(refused, 0, "{}", place.story().await);
        self.ticks += ticks;
        self.one_lives(token).await;

        place.delete(token).await;
        self.kill_within("deletion", Duration::from_secs(1)).await;
        let gone = async || place.token(token).await.is_none();
        place.until(PATIENCE, "deleted", gone).await;
        self.none_lives(token).await;
    }

    /// The current one authenticates, and beside it only what status names.
    async fn one_lives(&self, token: &str) {
        let status = self.place.status(token).await;
        let current = status.credential.unwrap().id;
        let named = status.suspected_orphans.unwrap_or_default();
        let mut found = false;
        for live in self.living(token) {
            let named = named
                .iter()
                .any(|orphan| live.label.starts_with(&orphan.label));
            assert!(
                live.id == current || named,
                "{live:?}\n{}",
                self.place.story().await
            );
            found |= live.id == current;
        }
        let value = self.place.value(token).await.unwrap();
        assert!(found && self.place.provider.errova.authenticates(&value));
    }

    /// Only what cannot be known is left, and the ledger that names it.
    async fn none_lives(&mut self, token: &str) {
        let over = async || {
            let ledgers = self.place.ledgers().await;
            let own = ledgers
                .into_iter()
                .find(|(_, ledger)| ledger.owner.name == token);
            own.is_none_or(|(_, ledger)| ledger.deleting.is_empty() && !ledger.abandoned.is_empty())
        };
        self.place
            .until(PATIENCE, "the ledger has no duty left", over)
            .await;
        let ledgers = self.place.ledgers().await;
        let own = ledgers
            .iter()
            .find(|(_, ledger)| ledger.owner.name == token);
        let open = own.iter().flat_map(|(_, ledger)| &ledger.abandoned);
        let open: BTreeSet<_> = open.map(|abandoned| abandoned.nonce.as_str()).collect();
        for live in self.living(token) {
            let nonce = Marker::parse(&live.label).unwrap().nonce;
            assert!(
                open.contains(nonce.as_str()),
                "{live:?}\n{}",
                self.place.story().await
            );
            self.unresolved += 1;
        }
        assert!(
            self.place.secret(token).await.is_none(),
            "the target goes with its resource"
        );
    }

    /// What authenticates at the provider and was created for this token: its display name says so.
    fn living(&self, token: &str) -> Vec<Truth> {
        let suffix = format!("web/{token}");
        let truth = self.place.provider.errova.truth().into_iter();
        truth
            .filter(|one| one.authenticates && one.label.ends_with(&suffix))
            .collect()
    }

    /// How often each intent was sent.
    fn creates(&self) -> BTreeMap<String, usize> {
        let mut creates = BTreeMap::new();
        for call in self.place.provider.errova.audit() {
            if call.op == Some(Operation::TokenCreate) {
                *creates.entry(call.nonce.unwrap()).or_default() += 1;
            }
        }
        creates
    }

    /// Kills it at some moment, and starts it again.
    async fn kill_within(&mut self, phase: &str, span: Duration) {
        let wait = self.dice.below(u64::try_from(span.as_millis()).unwrap());
        sleep(Duration::from_millis(wait)).await;
        self.operator.take().unwrap().kill();
        self.killed += 1;
        let (killed, kills) = (self.killed, self.kills);
        eprintln!("kill {killed}/{kills}: {phase} after {wait} ms");
        self.start();
    }
}

async fn rotate(place: &Place, token: &str) {
    let now = place.provider.errova.clock().now().to_string();
    let request =
        json!({ "metadata": { "annotations": { annotations::ROTATE_REQUESTED_AT: now } } });
    place.change(token, request).await;
}

/// `SplitMix64`: the same seed, the same moments.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}
