//! Talks to any agent of a mesh.
//!
//! Agents are tried in turn: any of them answers for the whole mesh. A change is repeated at
//! another agent only where the first surely did nothing.

use crate::{
    address::{AddressError, agent_url},
    answer,
    error::{self, ClientError, Failure},
};
use reqwest::{Method, RequestBuilder, Url};
use serde::de::DeserializeOwned;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How long an agent may take to accept a connection before the next is tried.
const CONNECT: Duration = Duration::from_secs(1);
/// How long an agent may take to answer from memory; one that hangs costs this much before the next
/// is asked.
pub const ANSWER: Duration = Duration::from_secs(5);
/// How long a change may take: a commit moves files, a verification reads a version of up to 1 TiB.
const CHANGE: Duration = Duration::from_secs(24 * 3600);
/// A connection whose other end is gone is given up after this and [`KEEP_ALIVE_PROBES`] more of
/// it.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// See [`KEEP_ALIVE`].
const KEEP_ALIVE_PROBES: u32 = 3;

/// What a client reports while it asks agents.
#[derive(Debug, Clone, Copy)]
pub enum Notice<'a> {
    /// A request is about to be sent.
    Request(&'a Method, &'a Url),
    /// This agent did not answer a query; another one did.
    AnsweredByAnother(&'a Failure),
    /// This agent could not be reached for a change; another one was.
    AskedAnother(&'a Failure),
}

/// A client of a mesh. Clones share which agent answered last.
#[derive(Debug, Clone)]
pub struct Client {
    agents: Vec<Url>,
    /// The token, or why there is none; an error only where one is needed.
    token: Result<String, String>,
    http: reqwest::Client,
    /// For loopback addresses, which no proxy of the environment can reach.
    direct: reqwest::Client,
    /// Index of the agent that answered last: it is asked first.
    last: Arc<AtomicUsize>,
    observer: fn(Notice<'_>),
}

/// An answer, and the agents that failed before it.
#[derive(Debug)]
pub struct Answer<T> {
    pub value: T,
    /// The agents that did not answer, and why.
    pub failures: Vec<Failure>,
}

impl Client {
    /// A client of these agents, with the token that changes need, or why there is none: that
    /// matters only where one is needed.
    pub fn new(agents: Vec<Url>, token: Result<String, String>) -> Result<Self, ClientError> {
        let builder = || {
            reqwest::Client::builder()
                .connect_timeout(CONNECT)
                .tcp_keepalive(KEEP_ALIVE)
                .tcp_keepalive_interval(KEEP_ALIVE)
                .tcp_keepalive_retries(KEEP_ALIVE_PROBES)
                // Agents never redirect; the target of a redirect must not see the token.
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("regionmesh/", env!("CARGO_PKG_VERSION")))
        };
        let built = |client: reqwest::Result<reqwest::Client>| {
            client.map_err(|error| ClientError::Setup(error::root(&error)))
        };

        let http = built(builder().build())?;
        let direct = built(builder().no_proxy().build())?;
        Ok(Self {
            agents,
            token,
            http,
            direct,
            last: Arc::default(),
            observer: |_| (),
        })
    }

    /// The same client, which reports to `observer` what it does.
    #[must_use]
    pub fn observed_by(self, observer: fn(Notice<'_>)) -> Self {
        Self { observer, ..self }
    }

    /// The same client, talking to one agent only, as a status names it.
    pub fn only(&self, agent: &str) -> Result<Self, ClientError> {
        Ok(self.pinned(agent_url(agent)?))
    }

    fn pinned(&self, agent: Url) -> Self {
        Self {
            agents: vec![agent],
            last: Arc::default(),
            ..self.clone()
        }
    }

    /// Fails early if a change would be refused, before any long operation.
    pub fn require_token(&self) -> Result<(), ClientError> {
        match &self.token {
            Ok(_) => Ok(()),
            Err(why) => Err(ClientError::NoToken(why.clone())),
        }
    }

    /// Asks for JSON; agents that don't answer are reported to the observer.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        Ok(self.observed(self.ask(path, ANSWER).await?))
    }

    /// Asks for a text; agents that don't answer are reported to the observer.
    pub async fn text(&self, path: &str) -> Result<String, ClientError> {
        Ok(self.observed(self.first(path, ANSWER, answer::text).await?))
    }

    fn observed<T>(&self, answer: Answer<T>) -> T {
        for failure in &answer.failures {
            (self.observer)(Notice::AnsweredByAnother(failure));
        }
        answer.value
    }

    /// Asks for JSON, each agent at most for `timeout`.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        timeout: Duration,
    ) -> Result<Answer<T>, ClientError> {
        self.first(path, timeout, answer::json).await
    }

    /// The first answer that `read` can read.
    async fn first<T>(
        &self,
        path: &str,
        timeout: Duration,
        read: impl AsyncFn(reqwest::Response) -> Result<T, ClientError>,
    ) -> Result<Answer<T>, ClientError> {
        let mut failures = Vec::new();
        let mut refusal = None;
        for (index, agent) in self.in_turn() {
            let asked = async {
                let reply = self
                    .request(Method::GET, agent, path)?
                    .timeout(timeout)
                    .send()
                    .await;

                read(reply.map_err(|error| ClientError::broken(agent, &error))?).await
            };

            match asked.await {
                Ok(value) => {
                    self.last.store(index, Ordering::Relaxed);
                    return Ok(Answer { value, failures });
                }
                // It is starting, stopping, or not an agent: try the next.
                Err(error) if error.is_unavailable() => {
                    failures.push(Failure::of(agent, error.why()));

                    if matches!(error, ClientError::Refused { .. }) {
                        refusal.get_or_insert(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }

        Err(match refusal {
            // If every agent refused alike, the refusal is more useful than a list of failures.
            Some(refusal) if failures.len() == 1 => refusal,
            _ => ClientError::NoAgent { tried: failures },
        })
    }

    /// Opens an answer that does not end, at the first agent that gives one. The stream resumes
    /// after `last_event`.
    pub async fn open(
        &self,
        path: &str,
        last_event: Option<&str>,
    ) -> Result<reqwest::Response, ClientError> {
        let mut failures = Vec::new();
        for (index, agent) in self.in_turn() {
            let mut request = self.request(Method::GET, agent, path)?;
            if let Some(id) = last_event {
                request = request.header("last-event-id", id);
            }

            let asked = async {
                // The time counts for the head alone.
                let reply = tokio::time::timeout(ANSWER, request.send()).await;
                let late = || ClientError::Connection {
                    agent: agent.clone(),
                    why: "it did not answer in time".into(),
                };
                let reply = reply
                    .map_err(|_| late())?
                    .map_err(|error| ClientError::broken(agent, &error))?;

                answer::check(reply).await
            };

            match asked.await {
                Ok(reply) => {
                    self.last.store(index, Ordering::Relaxed);
                    return Ok(reply);
                }
                Err(error) if error.is_unavailable() => {
                    failures.push(Failure::of(agent, error.why()));
                }
                Err(error) => return Err(error),
            }
        }

        Err(ClientError::NoAgent { tried: failures })
    }

    /// Asks for a change, which may take a long time.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<T, ClientError> {
        self.post_within(path, body, CHANGE).await
    }

    /// Asks for a change; after `timeout` its outcome is unknown.
    pub async fn post_within<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
        timeout: Duration,
    ) -> Result<T, ClientError> {
        self.require_token()?;
        let mut failures = Vec::new();
        for (index, agent) in self.in_turn() {
            let request = self.request(Method::POST, agent, path)?.timeout(timeout);
            let request = if body.is_null() {
                request
            } else {
                request.json(body)
            };

            match request.send().await {
                Ok(reply) => {
                    self.last.store(index, Ordering::Relaxed);
                    for failure in &failures {
                        (self.observer)(Notice::AskedAnother(failure));
                    }
                    return answer::json(reply).await;
                }
                // Nothing was sent, so another agent may be asked.
                Err(error) if error.is_connect() => {
                    failures.push(Failure::of(agent, error::root(&error)));
                }
                Err(error) => {
                    return Err(ClientError::BrokenOff {
                        agent: agent.clone(),
                        why: error::root(&error),
                    });
                }
            }
        }

        Err(ClientError::NoAgent { tried: failures })
    }

    /// Sends a body of `length` bytes to the one agent of this client.
    pub async fn send(
        &self,
        path: &str,
        length: u64,
        body: reqwest::Body,
    ) -> Result<(), ClientError> {
        let reply = self.post_to_first(path, |request| {
            request
                .header(http::header::CONTENT_LENGTH, length)
                .body(body)
        });
        answer::check(reply.await?).await.map(drop)
    }

    /// Sends files to the one agent of this client, and reads its answer.
    pub async fn send_form<T: DeserializeOwned>(
        &self,
        path: &str,
        form: reqwest::multipart::Form,
    ) -> Result<T, ClientError> {
        let reply = self.post_to_first(path, |request| request.multipart(form));
        answer::json(reply.await?).await
    }

    async fn post_to_first(
        &self,
        path: &str,
        with_body: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<reqwest::Response, ClientError> {
        let Some(agent) = self.agents.first() else {
            return Err(ClientError::NoAgent { tried: Vec::new() });
        };
        let request = with_body(self.request(Method::POST, agent, path)?);
        let reply = request.send().await;
        reply.map_err(|error| ClientError::broken(agent, &error))
    }

    /// A client of a single agent, for requests that belong together: the first that is ready, else
    /// the first that answers.
    pub async fn reachable(&self) -> Result<Self, ClientError> {
        let mut failures = Vec::new();
        let mut unready = None;
        for (_, agent) in self.in_turn() {
            match self
                .request(Method::GET, agent, "/readyz")?
                .timeout(ANSWER)
                .send()
                .await
            {
                Ok(reply) if reply.status().is_success() => {
                    for failure in &failures {
                        (self.observer)(Notice::AskedAnother(failure));
                    }
                    return Ok(self.pinned(agent.clone()));
                }
                Ok(reply) => {
                    let why = format!("it is not ready (HTTP {})", reply.status().as_u16());
                    failures.push(Failure::of(agent, why));
                    unready.get_or_insert(agent);
                }
                Err(error) => failures.push(Failure::of(agent, error::root(&error))),
            }
        }

        // It reports the reason if it can't carry out a request.
        unready
            .map(|agent| self.pinned(agent.clone()))
            .ok_or(ClientError::NoAgent { tried: failures })
    }

    /// The agents in the order in which they are asked: the one that answered last, then the
    /// others.
    fn in_turn(&self) -> impl Iterator<Item = (usize, &Url)> {
        let first = self.last.load(Ordering::Relaxed);
        let agents = self.agents.iter().enumerate();
        agents.clone().skip(first).chain(agents.take(first))
    }

    fn request(
        &self,
        method: Method,
        agent: &Url,
        path: &str,
    ) -> Result<RequestBuilder, ClientError> {
        let url = agent
            .join(path)
            .map_err(|error| AddressError::new(format!("{agent}: {error}")))?;
        (self.observer)(Notice::Request(&method, &url));

        let client = if is_loopback(agent) {
            &self.direct
        } else {
            &self.http
        };
        let request = client.request(method, url);

        Ok(match &self.token {
            Ok(token) => request.bearer_auth(token),
            Err(_) => request,
        })
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
