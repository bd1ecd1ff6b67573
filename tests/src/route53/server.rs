//! The fake as a server: routes, refusals, faults, and what a test may ask of it.

use super::{
    answers::{Answer, answers},
    authority,
    checkers::check_health,
    checks::Check,
    operations::{error_element, perform},
    options::{Fault, Options},
    state::State,
    xml::Element,
    zone::{Change, Set},
};
use axum::{
    Router,
    body::Bytes,
    extract,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use parking_lot::Mutex;
use regionmesh_dns::route53::{self, Timeouts};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::task::AbortOnDropHandle;

/// The operation that changes record sets.
const CHANGE: &str = "ChangeResourceRecordSets";

/// A running fake; ends with the value.
pub struct FakeRoute53 {
    state: Arc<Mutex<State>>,
    api: SocketAddr,
    dns: SocketAddr,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl FakeRoute53 {
    /// Starts one on free ports.
    pub async fn start(options: Options) -> Self {
        let check_every = options.check_every;
        let state = Arc::new(Mutex::new(State::new(options)));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
        let api = listener.local_addr().expect("bound");
        let dns = socket.local_addr().expect("bound");
        let routes = Router::new().fallback(serve).with_state(state.clone());
        let tasks = vec![
            AbortOnDropHandle::new(tokio::spawn(async move {
                axum::serve(listener, routes).await.expect("the fake")
            })),
            AbortOnDropHandle::new(tokio::spawn(authority::serve(socket, state.clone()))),
            AbortOnDropHandle::new(tokio::spawn(check_health(state.clone(), check_every))),
        ];

        Self {
            state,
            api,
            dns,
            _tasks: tasks,
        }
    }

    /// The API's address.
    pub fn url(&self) -> String {
        format!("http://{}", self.api)
    }

    /// The zone's name server.
    pub fn name_server(&self) -> SocketAddr {
        self.dns
    }

    /// The record sets, by the API's order.
    pub fn sets(&self) -> Vec<Set> {
        self.state.lock().sets.clone()
    }

    /// The record sets of one name, as they are.
    pub fn sets_of(&self, name: &str) -> Vec<Set> {
        self.sets()
            .into_iter()
            .filter(|set| set.name == name)
            .collect()
    }

    /// Changes record sets by hand, as in the console, under the same rules.
    pub fn edit(&self, action: &str, set: Set) {
        let changes = [Change {
            action: action.into(),
            set,
        }];

        self.state
            .lock()
            .change(&changes)
            .unwrap_or_else(|refused| panic!("{refused:?}"));
    }

    /// The health checks.
    pub fn checks(&self) -> Vec<Check> {
        self.state.lock().checks.values().cloned().collect()
    }

    /// Deletes a health check by hand.
    pub fn delete_check(&self, id: &str) {
        assert!(self.state.lock().delete_check(id), "{id}");
    }

    /// Whether a check is healthy.
    pub fn is_healthy(&self, id: &str) -> bool {
        self.state.lock().is_healthy(id)
    }

    /// Every answer that the name servers may give, ordered by set identifier.
    pub fn answers(&self, name: &str, record_type: &str) -> Vec<Answer> {
        let state = self.state.lock();
        let mut all = answers(state.visible(), name, record_type, |check| {
            state.is_healthy(check)
        });

        all.sort_by(|one, two| one.id.cmp(&two.id));
        all
    }

    /// What goes wrong with the next request of an operation that has no fault yet.
    pub fn fail_next(&self, operation: &str, fault: Fault) {
        self.state
            .lock()
            .faults
            .push_back((operation.into(), fault));
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.state.lock().faults.clear();
    }

    /// Where a host name leads that health checks ask.
    pub fn resolve(&self, host: &str, address: SocketAddr) {
        self.state.lock().hosts.insert(host.into(), address);
    }

    /// How often an operation was asked for with that outcome: `ok`, or an error's code.
    pub fn count(&self, operation: &str, outcome: &str) -> usize {
        let state = self.state.lock();
        state
            .log
            .iter()
            .filter(|(asked, ended)| asked == operation && (outcome.is_empty() || ended == outcome))
            .count()
    }
}

/// What a request asks for: operation, and the ID in its path.
fn route(method: &Method, path: &str) -> Option<(&'static str, String)> {
    let path = path.strip_prefix("/2013-04-01/")?.trim_end_matches('/');
    let parts: Vec<&str> = path.split('/').collect();
    let (operation, id) = match (method.as_str(), &parts[..]) {
        ("GET", ["hostedzone", id]) => ("GetHostedZone", *id),
        ("GET", ["hostedzone", id, "rrset"]) => ("ListResourceRecordSets", *id),
        ("POST", ["hostedzone", id, "rrset"]) => (CHANGE, *id),
        ("GET", ["change", id]) => ("GetChange", *id),
        ("POST", ["healthcheck"]) => ("CreateHealthCheck", ""),
        ("GET", ["healthcheck"]) => ("ListHealthChecks", ""),
        ("GET", ["healthcheck", id]) => ("GetHealthCheck", *id),
        ("DELETE", ["healthcheck", id]) => ("DeleteHealthCheck", *id),
        ("POST", ["tags", "healthcheck"]) => ("ListTagsForResources", ""),
        ("POST", ["tags", "healthcheck", id]) => ("ChangeTagsForResource", *id),
        _ => return None,
    };

    Some((operation, id.to_owned()))
}

async fn serve(
    extract::State(state): extract::State<Arc<Mutex<State>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some((operation, id)) = route(&method, uri.path()) else {
        return error(
            StatusCode::NOT_FOUND,
            "UnknownOperationException",
            &format!("{method} {uri}"),
        );
    };

    if !is_signed(&headers) {
        return error(
            StatusCode::FORBIDDEN,
            "MissingAuthenticationToken",
            "the request is not signed",
        );
    }

    let fault = take_fault(&state, operation);
    let query = uri.query().unwrap_or_default().to_owned();
    let request = Request {
        operation,
        id,
        query,
        body,
    };

    match &fault {
        Some(Fault::LostRequest) => {
            log(&state, operation, "lost");
            return std::future::pending().await;
        }
        Some(Fault::Late(_)) => log(&state, operation, "late"),
        _ => {}
    }

    if let Some(after) = fault.as_ref().and_then(Fault::lateness) {
        // If the client disconnects this request ends, but not what it started.
        tokio::spawn(perform_late(state, request, after));
        return std::future::pending().await;
    }

    if let Some((code, message)) = refusal(&state, operation, fault.as_ref()) {
        log(&state, operation, code);
        return error(StatusCode::BAD_REQUEST, code, message);
    }

    if fault == Some(Fault::Broken) {
        log(&state, operation, "broken");
        return error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalFailure",
            "as the test asked",
        );
    }

    let processing = state.lock().options.processing;
    let (status, reply) = request.perform(&state);
    log(&state, operation, &outcome_of(&reply));
    if fault == Some(Fault::LostAnswer) {
        return std::future::pending().await;
    }
    if operation == CHANGE {
        tokio::time::sleep(processing).await;
    }

    respond(status, &reply)
}

/// An accepted request.
struct Request {
    operation: &'static str,
    id: String,
    query: String,
    body: Bytes,
}

impl Request {
    fn perform(&self, state: &Mutex<State>) -> (StatusCode, Element) {
        perform(state, self.operation, &self.id, &self.query, &self.body)
    }
}

/// Does what a request asks for after a while, when its client has gone away.
async fn perform_late(state: Arc<Mutex<State>>, request: Request, after: Duration) {
    tokio::time::sleep(after).await;
    let (status, _) = request.perform(&state);
    let outcome = if status.is_success() {
        "done late"
    } else {
        "refused late"
    };

    log(&state, request.operation, outcome);
}

fn is_signed(headers: &HeaderMap) -> bool {
    let signature = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();

    signature.starts_with("AWS4-HMAC-SHA256 ")
        && signature.contains("/us-east-1/route53/aws4_request")
}

/// Why a request is refused for now: code and message.
fn refusal(
    state: &Mutex<State>,
    operation: &str,
    fault: Option<&Fault>,
) -> Option<(&'static str, &'static str)> {
    let now = Instant::now();
    let mut state = state.lock();
    if fault == Some(&Fault::Throttled) || state.is_throttled(now) {
        return Some(("Throttling", "Rate exceeded"));
    }

    let is_prior = fault == Some(&Fault::Prior) || (operation == CHANGE && state.is_busy(now));
    is_prior.then_some((
        "PriorRequestNotComplete",
        "The request was rejected because Route 53 was still processing a prior request.",
    ))
}

/// How a request ended: `ok`, or an error's code.
fn outcome_of(reply: &Element) -> String {
    let code = reply.get("Error").and_then(|error| error.text_of("Code"));
    code.unwrap_or_else(|| {
        let is_refused = reply.name == "InvalidChangeBatch";
        if is_refused {
            "InvalidChangeBatch"
        } else {
            "ok"
        }
        .to_owned()
    })
}

fn log(state: &Mutex<State>, operation: &str, outcome: &str) {
    let mut state = state.lock();
    state.log.push((operation.into(), outcome.into()));
}

fn take_fault(state: &Mutex<State>, operation: &str) -> Option<Fault> {
    let mut state = state.lock();
    let at = state.faults.iter().position(|(of, _)| of == operation)?;
    state.faults.remove(at).map(|(_, fault)| fault)
}

fn error(status: StatusCode, code: &str, message: &str) -> Response {
    respond(status, &error_element(code, message))
}

fn respond(status: StatusCode, element: &Element) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "text/xml")],
        element.write(),
    )
        .into_response()
}

/// The SDK's client for a server at `url`, with made-up credentials and no retries of its own.
pub async fn client(url: &str, request: Duration) -> aws_sdk_route53::Client {
    let credentials = aws_sdk_route53::config::Credentials::new("fake", "fake", None, None, "test");
    let timeouts = Timeouts {
        request,
        ..Timeouts::default()
    };

    route53::client(Some(url), &timeouts, Some(credentials)).await
}
