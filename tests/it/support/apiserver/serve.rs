//! One exchange: from the request, through faults and time, to the answer.

use std::{convert::Infallible, future, time::Duration};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::{task::JoinError, time::sleep};

use super::{
    ApiServer,
    control::{Attempt, Entry, Phase, Verdict},
    failure::Failure,
    read,
    request::{self, Call, RequestInfo, Target, Verb},
    store::Key,
    watch::Watch,
};

/// What every request takes: less than `?timeout=1ms` allows no request at all, and while one waits
/// others overtake it.
pub(crate) const LATENCY: Duration = Duration::from_millis(2);

type ReplyBody = UnsyncBoxBody<Bytes, Infallible>;

/// What a client sees of a fault in the network.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the connection to the API server broke")]
pub(super) struct ConnectionLost;

enum Reply {
    Object(u16, Value),
    Watch(Box<Watch>),
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Self {
        Self::Object(failure.code, failure.body())
    }
}

impl Reply {
    fn code(&self) -> u16 {
        match self {
            Self::Object(code, _) => *code,
            Self::Watch(_) => 200,
        }
    }
}

impl ApiServer {
    /// Answers one request. Once it has arrived it is carried out, also if its client goes away.
    pub(super) async fn serve(
        self,
        client: String,
        request: Request<Body>,
    ) -> Result<Response<ReplyBody>, ConnectionLost> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.map_err(|_| ConnectionLost)?;
        let call = match self.admit(client, &head, &body) {
            Ok(call) => call,
            Err(failure) => return self.respond(failure.into()),
        };
        let server = self.clone();
        let exchange = tokio::spawn(async move {
            let reply = server.exchange(&call).await?;
            if let Some(entry) = server.state().log.get_mut(call.info.seq - 1) {
                entry.code = Some(reply.code());
            }
            Ok(reply)
        });
        match exchange.await {
            Ok(reply) => self.respond(reply?),
            Err(stopped) => Err(broken_off(stopped)),
        }
    }

    /// Understands a request and begins its line in the log.
    fn admit(
        &self,
        client: String,
        head: &http::request::Parts,
        body: &[u8],
    ) -> Result<Call, Failure> {
        let mut state = self.state();
        let number = state.log.len() + 1;
        let call = request::parse(
            &state.store,
            (number, self.clock().now(), client),
            head,
            body,
        )?;
        state.log.push(Entry {
            request: call.info.clone(),
            code: None,
        });
        Ok(call)
    }

    /// Carries a request out, under the faults that the test asks for.
    async fn exchange(&self, call: &Call) -> Result<Reply, ConnectionLost> {
        let limit = match call.parameters.timeout() {
            Ok(limit) => limit.unwrap_or(Duration::MAX),
            Err(failure) => return Ok(failure.into()),
        };
        let mut lost = false;
        let mut takes = LATENCY;
        match self.ask(&call.info, Phase::Before) {
            Verdict::Pass => {}
            Verdict::Fail(code) => return Ok(Failure::fault(code, &call.body).into()),
            Verdict::LoseRequest => return Err(ConnectionLost),
            Verdict::LoseResponse => lost = true,
            Verdict::Hang => future::pending().await,
            Verdict::Delay(longer) => takes += longer,
        }
        if !pass_time(takes, limit).await {
            return Ok(Failure::timeout().into());
        }
        let mut reply = self.carry_out(call);
        match self.ask(&call.info, Phase::After) {
            Verdict::Pass => {}
            Verdict::Fail(code) => reply = Failure::fault(code, &call.body).into(),
            Verdict::LoseRequest | Verdict::LoseResponse => lost = true,
            Verdict::Hang => future::pending().await,
            Verdict::Delay(longer) => {
                if !pass_time(longer, limit.saturating_sub(takes)).await {
                    reply = Failure::timeout().into();
                }
            }
        }
        if lost { Err(ConnectionLost) } else { Ok(reply) }
    }

    fn ask(&self, info: &RequestInfo, phase: Phase) -> Verdict {
        let hook = self.state().hook.clone();
        hook.map_or(Verdict::Pass, |hook| hook(info, phase))
    }

    /// Does what was asked, tells the watches, runs the checks.
    fn carry_out(&self, call: &Call) -> Reply {
        let reply = self.act(call).unwrap_or_else(Reply::from);
        self.tell_watches();
        let checks = self.state().checks.clone();
        for check in checks {
            if let Err(found) = check(self, &call.info) {
                let violation = format!("after {}: {found}", call.info);
                self.state().violations.push(violation);
            }
        }
        reply
    }

    pub(super) fn tell_watches(&self) {
        let version = self.state().store.version();
        self.inner.pulse.send_if_modified(|pulse| {
            let moved = pulse.version != version;
            pulse.version = version;
            moved
        });
    }

    fn act(&self, call: &Call) -> Result<Reply, Failure> {
        let mut state = self.state();
        let Target::Resource(kind) = &call.target else {
            return Ok(Reply::Object(
                201,
                review(&call.body, |attempt| state.denies(attempt)),
            ));
        };
        state.authorize(kind, call)?;
        let info = &call.info;
        let shaped = |object: &Value| read::shaped(object, call.metadata_only);
        Ok(match info.verb {
            Verb::Get => {
                let namespace = info.namespace.as_deref().unwrap_or_default();
                let key = Key::new(kind, namespace, info.name.as_deref().unwrap_or_default());
                Reply::Object(200, shaped(&read::get(&state.store, kind, &key)?))
            }
            Verb::List => Reply::Object(200, read::list(&state.store, kind, call)?),
            Verb::Watch => {
                let pulse = self.inner.pulse.subscribe();
                let watch = Watch::begin(self.clone(), &state.store, kind.clone(), call, pulse)?;
                Reply::Watch(Box::new(watch))
            }
            Verb::Create | Verb::Update | Verb::Patch | Verb::Delete => {
                let (code, object) = state.write(kind, call, self.clock().now())?;
                let is_status = object["kind"] == "Status";
                Reply::Object(code, if is_status { object } else { shaped(&object) })
            }
        })
    }

    fn respond(&self, reply: Reply) -> Result<Response<ReplyBody>, ConnectionLost> {
        let date = self.clock().now().strftime("%a, %d %b %Y %H:%M:%S GMT");
        let answer = Response::builder()
            .status(reply.code())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::DATE, date.to_string());
        let body = match reply {
            Reply::Object(_, object) => Full::new(Bytes::from(object.to_string())).boxed_unsync(),
            Reply::Watch(watch) => StreamBody::new(watch.into_frames()).boxed_unsync(),
        };
        answer.body(body).map_err(|_| ConnectionLost)
    }
}

/// A panic in a hook or a check belongs to the test; otherwise the runtime is going down.
fn broken_off(stopped: JoinError) -> ConnectionLost {
    match stopped.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => ConnectionLost,
    }
}

/// Lets this much time pass, or all that is left; says whether it was enough.
async fn pass_time(takes: Duration, left: Duration) -> bool {
    sleep(takes.min(left)).await;
    takes <= left
}

/// The answer to a `SelfSubjectAccessReview`.
fn review(body: &Value, denied: impl Fn(&Attempt<'_>) -> bool) -> Value {
    let wanted = &body["spec"]["resourceAttributes"];
    let text = |field: &str| wanted[field].as_str().unwrap_or_default();
    let attempt = Attempt {
        verb: text("verb"),
        resource: text("resource"),
        subresource: wanted["subresource"].as_str().filter(|sub| !sub.is_empty()),
        namespace: text("namespace"),
    };
    let mut review = body.clone();
    review["status"] = json!({"allowed": !denied(&attempt)});
    review
}
