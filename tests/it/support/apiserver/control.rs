//! What a test does to a server besides using it: faults, refusals, checks, the log.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    ApiServer,
    request::{RequestInfo, Verb},
};

/// When a hook is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The request arrived; nothing has happened.
    Before,
    /// The request was carried out; the answer is not yet on its way.
    After,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All is well.
    Pass,
    /// Answer with this status: instead of carrying it out, or although it was.
    Fail(u16),
    /// The connection breaks before the server acts (asked afterwards: as [`Self::LoseResponse`]).
    LoseRequest,
    /// The server acts, then the connection breaks.
    LoseResponse,
    /// No answer, ever.
    Hang,
    /// The server takes this much longer.
    Delay(Duration),
}

pub(super) type Hook = Arc<dyn Fn(&RequestInfo, Phase) -> Verdict + Send + Sync>;
pub(super) type Check = Arc<dyn Fn(&ApiServer, &RequestInfo) -> Result<(), String> + Send + Sync>;

/// One line of the request log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) request: RequestInfo,
    /// What the client was answered; nothing where it got no answer.
    pub(crate) code: Option<u16>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "{} {code}", self.request),
            None => write!(f, "{} no answer", self.request),
        }
    }
}

/// A right that nobody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Denial {
    verb: Verb,
    /// `secrets`, `machinetokens/status`.
    resource: String,
    /// In all of them where there is none.
    namespace: Option<String>,
}

/// What somebody wants to do.
#[derive(Clone, Debug)]
pub(super) struct Attempt<'a> {
    pub(super) verb: &'a str,
    pub(super) resource: &'a str,
    pub(super) subresource: Option<&'a str>,
    pub(super) namespace: &'a str,
}

impl Denial {
    pub(super) fn covers(&self, attempt: &Attempt<'_>) -> bool {
        let resource = match attempt.subresource {
            Some(sub) => format!("{}/{sub}", attempt.resource),
            None => attempt.resource.to_owned(),
        };
        (attempt.verb == "*" || attempt.verb == self.verb.as_str())
            && (attempt.resource == "*" || resource == self.resource)
            && (self.namespace.as_deref()).is_none_or(|namespace| namespace == attempt.namespace)
    }
}

impl ApiServer {
    /// Asks this hook, instead of the last one, before and after each request. It may itself use the
    /// server, or stop an operator.
    pub(crate) fn on_request(
        &self,
        hook: impl Fn(&RequestInfo, Phase) -> Verdict + Send + Sync + 'static,
    ) {
        self.state().hook = Some(Arc::new(hook));
    }

    /// Runs this check of the whole state after each request that was carried out; what it finds is
    /// kept for [`Self::violations`], since a panic inside a request would end in the operator under test.
    pub(crate) fn check_always(
        &self,
        check: impl Fn(&Self, &RequestInfo) -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.state().checks.push(Arc::new(check));
    }

    /// What the checks found, with the request after which they found it.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// From now on nobody may do this, in one namespace or in all. `resource` names a subresource as
    /// `machinetokens/status`.
    pub(crate) fn deny(&self, verb: Verb, resource: &str, namespace: Option<&str>) {
        let denial = denial(verb, resource, namespace);
        self.state().denials.push(denial);
    }

    /// Takes a [`Self::deny`] back.
    pub(crate) fn allow(&self, verb: Verb, resource: &str, namespace: Option<&str>) {
        let taken_back = denial(verb, resource, namespace);
        self.state().denials.retain(|other| *other != taken_back);
    }

    /// All requests so far, in the order in which they arrived.
    pub(crate) fn log(&self) -> Vec<Entry> {
        self.state().log.clone()
    }

    /// How many requests so far were like this.
    pub(crate) fn count(&self, is_like: impl Fn(&Entry) -> bool) -> usize {
        self.state()
            .log
            .iter()
            .filter(|entry| is_like(entry))
            .count()
    }

    /// Ends all running watches, as a restart of the server does.
    pub(crate) fn drop_watches(&self) {
        self.inner.pulse.send_modify(|pulse| pulse.cut += 1);
    }

    /// Keeps events back, so that every cache goes stale.
    pub(crate) fn hold_watches(&self) {
        self.inner.pulse.send_modify(|pulse| pulse.held = true);
    }

    /// Delivers what was kept back.
    pub(crate) fn release_watches(&self) {
        self.inner.pulse.send_modify(|pulse| pulse.held = false);
    }

    /// Forgets the past: watches and pages that begin before now are told that they are too old.
    pub(crate) fn compact(&self) {
        let store = &mut self.state().store;
        store.oldest = store.version();
    }
}

fn denial(verb: Verb, resource: &str, namespace: Option<&str>) -> Denial {
    Denial {
        verb,
        resource: resource.to_owned(),
        namespace: namespace.map(str::to_owned),
    }
}
