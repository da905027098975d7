//! Every target Secret as it was last seen, namespace by namespace.
//!
//! Where the installation may list and watch Secrets, the targets of a namespace are watched by label
//! from the first resource on; elsewhere they are read when they are needed. Values do not stay in
//! memory: a Secret is reduced to a [`Sighting`] as it comes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    core::v1::Secret,
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, PostParams},
};
use kube_runtime::{WatchStreamExt as _, watcher, watcher::Event};
use tokio::time::Instant;

use super::ledgers::is_newer;
use crate::{
    api::annotations,
    cluster::{ClusterError, answer},
    target::{mac::MacKey, sighting::Sighting},
};

/// How long a refusal of a namespace is believed.
const REFUSAL: Duration = Duration::from_secs(10);

/// How targets of a namespace are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// By a watch.
    Watched,
    /// By reading one when it is needed.
    Read,
    /// Not at all: the installation has no rights there.
    Refused,
}

/// Called with a namespace and a name in it.
pub type Tell = Arc<dyn Fn(&str, &str) + Send + Sync>;

type Seen = HashMap<(String, String), Sighting>;

/// The targets.
pub struct Targets {
    client: Client,
    mac: Arc<MacKey>,
    seen: Arc<Mutex<Seen>>,
    namespaces: tokio::sync::Mutex<HashMap<String, (Coverage, Instant)>>,
    changed: Tell,
    freed: Tell,
}

impl std::fmt::Debug for Targets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Targets")
    }
}

impl Targets {
    /// None yet. `changed` is called with the owner of a watched target that changed, `freed` with the
    /// name of one that was deleted, for those who wait for it.
    pub fn new(client: Client, mac: Arc<MacKey>, changed: Tell, freed: Tell) -> Self {
        Self {
            client,
            mac,
            seen: Arc::default(),
            namespaces: tokio::sync::Mutex::default(),
            changed,
            freed,
        }
    }

    /// How targets of `namespace` are seen; begins to watch them if that is allowed.
    pub async fn cover(&self, namespace: &str) -> Result<Coverage, ClusterError> {
        let mut namespaces = self.namespaces.lock().await;
        match namespaces.get(namespace) {
            Some((Coverage::Refused, since)) if since.elapsed() >= REFUSAL => {}
            Some((coverage, _)) => return Ok(*coverage),
            None => {}
        }
        let coverage = self.try_cover(namespace).await?;
        namespaces.insert(namespace.to_owned(), (coverage, Instant::now()));
        Ok(coverage)
    }

    /// A write was refused: whether the namespace is granted at all is asked anew.
    pub async fn is_granted(&self, namespace: &str) -> Result<bool, ClusterError> {
        let granted = may_write_secrets(&self.client, namespace).await?;
        if !granted {
            let refused = (Coverage::Refused, Instant::now());
            self.namespaces
                .lock()
                .await
                .insert(namespace.to_owned(), refused);
        }
        Ok(granted)
    }

    /// What is known of one target, from the watch or from our own writes.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Sighting> {
        lock(&self.seen)
            .get(&(namespace.to_owned(), name.to_owned()))
            .cloned()
    }

    /// A reply or a live read: what is there now. What the watch would not follow is not kept.
    pub fn record(&self, namespace: &str, name: &str, sighting: Option<&Sighting>) {
        let key = (namespace.to_owned(), name.to_owned());
        match sighting.filter(|sighting| sighting.is_watched()) {
            Some(sighting) => keep(&mut lock(&self.seen), key, sighting.clone()),
            None => lock(&self.seen).remove(&key).is_some(),
        };
    }

    async fn try_cover(&self, namespace: &str) -> Result<Coverage, ClusterError> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let probe = ListParams::default().labels(&selector()).limit(1);
        match answer(secrets.list_metadata(&probe)).await {
            Ok(_) => {
                self.watch(namespace, secrets).await;
                Ok(Coverage::Watched)
            }
            Err(ClusterError::Forbidden) => {
                let granted = may_write_secrets(&self.client, namespace).await?;
                Ok(if granted {
                    Coverage::Read
                } else {
                    Coverage::Refused
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Starts the watch and waits for its first list.
    async fn watch(&self, namespace: &str, secrets: Api<Secret>) {
        let (listed, first) = tokio::sync::oneshot::channel();
        let mut listed = Some(listed);
        let config = watcher::Config::default().labels(&selector());
        let (seen, mac) = (self.seen.clone(), self.mac.clone());
        let (changed, freed) = (self.changed.clone(), self.freed.clone());
        let namespace = namespace.to_owned();
        tokio::spawn(async move {
            let mut events = watcher(secrets, config).default_backoff().boxed();
            let mut relist = HashMap::new();
            while let Some(event) = events.next().await {
                let Ok(event) = event else { continue };
                let done = matches!(event, Event::InitDone);
                if let Event::Delete(secret) = &event {
                    freed(&namespace, &secret.name_any());
                }
                // What was deleted while nobody watched has no event of its own.
                for name in vanished(&event, &namespace, &seen, &relist) {
                    lock(&seen).remove(&(namespace.clone(), name.clone()));
                    freed(&namespace, &name);
                }
                if let Some(owner) = observe(event, &namespace, &mac, &seen, &mut relist) {
                    changed(&namespace, &owner);
                }
                if let Some(listed) = listed.take_if(|_| done) {
                    let _ = listed.send(());
                }
            }
        });
        let _ = tokio::time::timeout(crate::cluster::PATIENCE, first).await;
    }
}

/// Takes in one event. Answers the name of the owner if that is news to us.
fn observe(
    event: Event<Secret>,
    namespace: &str,
    mac: &MacKey,
    seen: &Mutex<Seen>,
    relist: &mut HashMap<String, String>,
) -> Option<String> {
    let key = |name: String| (namespace.to_owned(), name);
    match event {
        Event::Init => {
            relist.clear();
            None
        }
        Event::InitApply(secret) | Event::Apply(secret) => {
            let owner = secret.annotations().get(annotations::OWNER_NAME).cloned();
            let sighting = Sighting::of(&secret, mac)?;
            relist.insert(secret.name_any(), owner.clone().unwrap_or_default());
            keep(&mut lock(seen), key(secret.name_any()), sighting)
                .then_some(owner)
                .flatten()
        }
        Event::InitDone => None,
        Event::Delete(secret) => {
            let mut seen = lock(seen);
            let (name, sighting) = (key(secret.name_any()), Sighting::of(&secret, mac)?);
            let known = seen.get(&name)?;
            let stale = is_newer(known.version(), sighting.version());
            if !stale {
                seen.remove(&name);
            }
            (!stale)
                .then(|| secret.annotations().get(annotations::OWNER_NAME).cloned())
                .flatten()
        }
    }
}

/// The targets that are known and that a whole new list does not show.
fn vanished(
    event: &Event<Secret>,
    namespace: &str,
    seen: &Mutex<Seen>,
    relist: &HashMap<String, String>,
) -> Vec<String> {
    if !matches!(event, Event::InitDone) {
        return Vec::new();
    }
    let seen = lock(seen);
    let here = seen.keys().filter(|(space, _)| space == namespace);
    let gone = here.filter(|(_, name)| !relist.contains_key(name));
    gone.map(|(_, name)| name.clone()).collect()
}

/// Keeps the newer of two sightings; answers whether it was news.
fn keep(seen: &mut Seen, key: (String, String), sighting: Sighting) -> bool {
    let known = seen.get(&key);
    if known.is_some_and(|known| !is_newer(sighting.version(), known.version())) {
        return false;
    }
    seen.insert(key, sighting);
    true
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn selector() -> String {
    format!(
        "{}={}",
        annotations::COMPONENT,
        annotations::COMPONENT_TARGET
    )
}

/// One `SelfSubjectAccessReview`: may this installation create Secrets there?
async fn may_write_secrets(client: &Client, namespace: &str) -> Result<bool, ClusterError> {
    let attributes = ResourceAttributes {
        namespace: Some(namespace.to_owned()),
        verb: Some("create".to_owned()),
        resource: Some("secrets".to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec {
        resource_attributes: Some(attributes),
        ..SelfSubjectAccessReviewSpec::default()
    };
    let review = SelfSubjectAccessReview {
        spec,
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = answer(reviews.create(&PostParams::default(), &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
