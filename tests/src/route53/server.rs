//! The fake as a server: routes, refusals, faults, and what a test may ask of it.

use super::{
    ZONE, ZONE_ID,
    answers::{Answer, answers},
    authority,
    checks::Check,
    listing::{self, CHECKS_PAGE_MAX, Query, RECORDS_PAGE_MAX},
    state::{State, lateness},
    xml::Element,
    zone::{Change, Refused, Set},
};
use axum::{
    Router,
    body::Bytes,
    extract,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use regionmesh_dns::route53::{self, Timeouts};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};
use tokio_util::task::AbortOnDropHandle;

/// How a fake behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Rate of the account; as many may come at once.
    pub requests_per_second: u32,
    /// How long the zone takes in a change, and refuses others meanwhile.
    pub processing: Duration,
    /// Time until a change is on the name servers.
    pub in_sync: Duration,
    /// Pause of the health checkers.
    pub check_every: Duration,
    /// Record sets in a page.
    pub records_page: usize,
    /// Health checks in a page.
    pub checks_page: usize,
    /// Answer a refused batch as it was done for years: with an element of its own.
    pub has_bare_batch_errors: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            // Most tests are not about the rate.
            requests_per_second: 1_000,
            processing: Duration::from_millis(20),
            in_sync: Duration::from_millis(200),
            check_every: Duration::from_millis(50),
            records_page: RECORDS_PAGE_MAX,
            checks_page: CHECKS_PAGE_MAX,
            has_bare_batch_errors: false,
        }
    }
}

/// What goes wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It never arrives.
    LostRequest,
    /// It is done, and the answer never arrives.
    LostAnswer,
    /// No answer, and it is done this much later.
    Late(Duration),
    /// Throttling.
    Throttled,
    /// PriorRequestNotComplete.
    Prior,
    /// 500, and nothing is done.
    Broken,
}

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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the fake's state")
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
        self.state().sets.clone()
    }

    /// The record sets of one name, as they stand.
    pub fn sets_of(&self, name: &str) -> Vec<Set> {
        self.sets()
            .into_iter()
            .filter(|set| set.name == name)
            .collect()
    }

    /// Changes record sets behind everybody's back, as a person at the console does; by the same
    /// rules.
    pub fn edit(&self, action: &str, set: Set) {
        let changes = [Change {
            action: action.into(),
            set,
        }];

        self.state()
            .change(&changes)
            .unwrap_or_else(|refused| panic!("{refused:?}"));
    }

    /// The health checks.
    pub fn checks(&self) -> Vec<Check> {
        self.state().checks.values().cloned().collect()
    }

    /// Deletes a health check behind everybody's back.
    pub fn delete_check(&self, id: &str) {
        assert!(self.state().delete_check(id), "{id}");
    }

    /// Whether a check is healthy.
    pub fn is_healthy(&self, id: &str) -> bool {
        self.state().is_healthy(id)
    }

    /// Every answer that the name servers may give, ordered by set identifier.
    pub fn answers(&self, name: &str, record_type: &str) -> Vec<Answer> {
        let state = self.state();
        let mut all = answers(state.visible(), name, record_type, |check| {
            state.is_healthy(check)
        });

        all.sort_by(|one, two| one.id.cmp(&two.id));
        all
    }

    /// What goes wrong with the next request of an operation that is not spoken for yet.
    pub fn fail_next(&self, operation: &str, fault: Fault) {
        self.state().faults.push_back((operation.into(), fault));
    }

    /// Forgets what was to go wrong.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Where a host name leads that health checks ask.
    pub fn resolve(&self, host: &str, address: SocketAddr) {
        self.state().hosts.insert(host.into(), address);
    }

    /// How often an operation was asked for with that outcome: `ok`, or an error's code.
    pub fn count(&self, operation: &str, outcome: &str) -> usize {
        let state = self.state();
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
        ("POST", ["hostedzone", id, "rrset"]) => ("ChangeResourceRecordSets", *id),
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

    let signature = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();

    if !signature.starts_with("AWS4-HMAC-SHA256 ")
        || !signature.contains("/us-east-1/route53/aws4_request")
    {
        return error(
            StatusCode::FORBIDDEN,
            "MissingAuthenticationToken",
            "the request is not signed",
        );
    }

    let fault = take_fault(&state, operation);
    let log = |outcome: &str| {
        state
            .lock()
            .unwrap()
            .log
            .push((operation.into(), outcome.into()))
    };

    match &fault {
        Some(Fault::LostRequest) => {
            log("lost");
            return std::future::pending().await;
        }
        Some(Fault::Late(_)) => log("late"),
        _ => {}
    }

    if let Some(after) = fault.as_ref().and_then(lateness) {
        // The client goes away meanwhile and ends this request, but not what it started.
        let state = state.clone();
        let query = uri.query().unwrap_or_default().to_owned();
        let body = body.clone();

        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            let (status, _) = perform(&state, operation, &id, &query, &body);
            let outcome = if status.is_success() {
                "done late"
            } else {
                "refused late"
            };

            state
                .lock()
                .unwrap()
                .log
                .push((operation.into(), outcome.into()));
        });

        return std::future::pending().await;
    }

    let now = Instant::now();
    let is_change = operation == "ChangeResourceRecordSets";
    let refused = {
        let mut state = state.lock().unwrap();
        if fault == Some(Fault::Throttled) || state.is_throttled(now) {
            Some(("Throttling", "Rate exceeded"))
        } else if fault == Some(Fault::Prior) || (is_change && state.is_busy(now)) {
            Some((
                "PriorRequestNotComplete",
                "The request was rejected because Route 53 was still processing a prior request.",
            ))
        } else {
            None
        }
    };

    if let Some((code, message)) = refused {
        log(code);
        return error(StatusCode::BAD_REQUEST, code, message);
    }

    if fault == Some(Fault::Broken) {
        log("broken");
        return error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalFailure",
            "as the test asked",
        );
    }

    let processing = state.lock().unwrap().options.processing;
    let (status, reply) = perform(
        &state,
        operation,
        &id,
        uri.query().unwrap_or_default(),
        &body,
    );
    let code = reply.get("Error").and_then(|error| error.text_of("Code"));

    log(code
        .as_deref()
        .unwrap_or(if reply.name == "InvalidChangeBatch" {
            "InvalidChangeBatch"
        } else {
            "ok"
        }));

    if fault == Some(Fault::LostAnswer) {
        return std::future::pending().await;
    }
    if is_change {
        tokio::time::sleep(processing).await;
    }

    respond(status, &reply)
}

fn take_fault(state: &Mutex<State>, operation: &str) -> Option<Fault> {
    let mut state = state.lock().unwrap();
    let at = state.faults.iter().position(|(of, _)| of == operation)?;
    state.faults.remove(at).map(|(_, fault)| fault)
}

/// Does what is asked, under the lock: one request after the other.
fn perform(
    state: &Mutex<State>,
    operation: &str,
    id: &str,
    query: &str,
    body: &[u8],
) -> (StatusCode, Element) {
    let mut state = state.lock().unwrap();
    let query: Query = url::form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect();
    let has_bare_errors = state.options.has_bare_batch_errors;
    let done = perform_on(&mut state, operation, id, &query, body);

    match done {
        Ok(done) => done,
        Err(Refused::InvalidChangeBatch(messages)) if has_bare_errors => {
            let messages = messages.into_iter().map(|text| Element {
                text,
                ..Element::new("Message")
            });

            (
                StatusCode::BAD_REQUEST,
                Element::new("InvalidChangeBatch").list("Messages", messages),
            )
        }
        Err(Refused::InvalidChangeBatch(messages)) => (
            StatusCode::BAD_REQUEST,
            error_element("InvalidChangeBatch", &format!("[{}]", messages.join(", "))),
        ),
        Err(Refused::NoSuchHealthCheck(id)) => no_such("HealthCheck", &id),
        Err(Refused::InvalidInput(text)) if text == "HealthCheckAlreadyExists" => (
            StatusCode::CONFLICT,
            error_element(
                &text,
                "a health check with this caller reference exists or existed",
            ),
        ),
        Err(Refused::InvalidInput(text)) => (
            StatusCode::BAD_REQUEST,
            error_element("InvalidInput", &text),
        ),
    }
}

fn perform_on(
    state: &mut State,
    operation: &str,
    id: &str,
    query: &Query,
    body: &[u8],
) -> Result<(StatusCode, Element), Refused> {
    let ok = |element| Ok((StatusCode::OK, element));
    let request = || {
        let text = String::from_utf8_lossy(body);
        Element::parse(&text).map_err(Refused::InvalidInput)
    };
    let is_of_zone = matches!(
        operation,
        "GetHostedZone" | "ListResourceRecordSets" | "ChangeResourceRecordSets"
    );

    if is_of_zone && id != ZONE_ID {
        return Ok(no_such("HostedZone", id));
    }

    match operation {
        "GetHostedZone" => {
            let config = Element::new("Config").field("PrivateZone", false);
            let zone = Element::new("HostedZone")
                .field("Id", format!("/hostedzone/{ZONE_ID}"))
                .field("Name", ZONE)
                .field("CallerReference", "fake")
                .child(config)
                .field("ResourceRecordSetCount", state.sets.len());
            let servers = ["ns-1.awsdns-fake.test", "ns-2.awsdns-fake.test"];
            let servers = servers.map(|text| Element {
                text: text.into(),
                ..Element::new("NameServer")
            });
            let delegation = Element::new("DelegationSet").list("NameServers", servers);

            ok(Element::new("GetHostedZoneResponse")
                .child(zone)
                .child(delegation))
        }
        "ListResourceRecordSets" => ok(listing::records(
            &state.sets,
            query,
            state.options.records_page,
        )?),
        "ChangeResourceRecordSets" => {
            let request = request()?;
            let batch = request.get("ChangeBatch").cloned().unwrap_or_default();
            let change = |change: &Element| {
                let set = change.get("ResourceRecordSet").cloned().unwrap_or_default();
                Ok(Change {
                    action: change.text_of("Action").unwrap_or_default(),
                    set: Set::read(&set)?,
                })
            };

            let changes = batch
                .all("Changes")
                .map(change)
                .collect::<Result<Vec<_>, Refused>>()?;

            ok(state.change(&changes)?)
        }
        "GetChange" => Ok(state
            .change_state(id)
            .map_or_else(|| no_such("Change", id), |found| (StatusCode::OK, found))),
        "CreateHealthCheck" => {
            let request = request()?;
            let reference = request.text_of("CallerReference").unwrap_or_default();
            let config = request
                .get("HealthCheckConfig")
                .cloned()
                .unwrap_or_default();
            let (id, is_new) = state.create_check(&reference, &config)?;
            let element =
                Element::new("CreateHealthCheckResponse").child(state.checks[&id].element());

            Ok((
                if is_new {
                    StatusCode::CREATED
                } else {
                    StatusCode::OK
                },
                element,
            ))
        }
        "ListHealthChecks" => ok(listing::checks(
            &state.checks,
            query,
            state.options.checks_page,
        )?),
        "GetHealthCheck" => Ok(match state.checks.get(id) {
            Some(check) => (
                StatusCode::OK,
                Element::new("GetHealthCheckResponse").child(check.element()),
            ),
            None => no_such("HealthCheck", id),
        }),
        "DeleteHealthCheck" if state.delete_check(id) => {
            ok(Element::new("DeleteHealthCheckResponse"))
        }
        "DeleteHealthCheck" => Ok(no_such("HealthCheck", id)),
        "ListTagsForResources" => {
            let request = request()?;
            let ids: Vec<_> = request
                .all("ResourceIds")
                .map(|id| id.text.clone())
                .collect();

            if ids.is_empty() || ids.len() > 10 {
                return Err(Refused::InvalidInput(
                    "1 to 10 resources can be asked for".into(),
                ));
            }

            if let Some(unknown) = ids.iter().find(|id| !state.checks.contains_key(*id)) {
                return Ok(no_such("HealthCheck", unknown));
            }

            let tag = |(key, value): (&String, &String)| {
                Element::new("Tag").field("Key", key).field("Value", value)
            };
            let set = |id: &String| {
                let set = Element::new("ResourceTagSet")
                    .field("ResourceType", "healthcheck")
                    .field("ResourceId", id);
                set.list("Tags", state.checks[id].tags.iter().map(tag))
            };

            ok(Element::new("ListTagsForResourcesResponse")
                .list("ResourceTagSets", ids.iter().map(set)))
        }
        _ => {
            let request = request()?;
            let Some(check) = state.checks.get_mut(id) else {
                return Ok(no_such("HealthCheck", id));
            };
            let pairs: BTreeMap<_, _> = request
                .all("AddTags")
                .filter_map(|tag| {
                    Some((
                        tag.text_of("Key")?,
                        tag.text_of("Value").unwrap_or_default(),
                    ))
                })
                .collect();

            if pairs.len() > 10
                || pairs
                    .iter()
                    .any(|(key, value)| key.len() > 128 || value.len() > 256)
            {
                return Err(Refused::InvalidInput(
                    "at most 10 tags of 128 and 256 characters".into(),
                ));
            }

            check.tags.extend(pairs);
            ok(Element::new("ChangeTagsForResourceResponse"))
        }
    }
}

fn no_such(kind: &str, id: &str) -> (StatusCode, Element) {
    (
        StatusCode::NOT_FOUND,
        error_element(
            &format!("NoSuch{kind}"),
            &format!("there is no such thing: {id}"),
        ),
    )
}

fn error_element(code: &str, message: &str) -> Element {
    let error = Element::new("Error")
        .field("Type", "Sender")
        .field("Code", code)
        .field("Message", message);

    Element::new("ErrorResponse")
        .child(error)
        .field("RequestId", "fake")
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

/// The health checkers: ask every endpoint, for ever.
async fn check_health(state: Arc<Mutex<State>>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let polls = state.lock().unwrap().polls();
        for (id, address, host, path) in polls {
            let is_good = match address {
                Some(address) => {
                    let asked =
                        tokio::time::timeout(Duration::from_secs(1), ask(address, &host, &path))
                            .await;
                    asked
                        .is_ok_and(|status| status.is_ok_and(|status| (200..400).contains(&status)))
                }
                None => false,
            };

            if let Some(check) = state.lock().unwrap().checks.get_mut(&id) {
                check.heard(is_good);
            }
        }
    }
}

async fn ask(address: SocketAddr, host: &str, path: &str) -> std::io::Result<u16> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;

    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    Ok(String::from_utf8_lossy(&head[9..]).parse().unwrap_or(0))
}

/// The SDK's client for a server at `url`, with made-up credentials and no retries of its own.
pub async fn client(url: &str, request: Duration) -> aws_sdk_route53::Client {
    let credentials = aws_sdk_route53::config::Credentials::new("fake", "fake", None, None, "test");
    let timeout = Timeouts {
        request,
        ..Timeouts::default()
    };

    route53::client(Some(url), &timeout, Some(credentials)).await
}
