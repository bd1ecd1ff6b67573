//! Talks to any agent of a mesh.
//!
//! Which agents and which token: the flags, else the environment, else the `client.json` that `up`
//! writes. Agents are tried in turn: any of them answers for the whole mesh. A change is repeated
//! at another agent only where the first surely did nothing.

mod answer;
mod error;

pub use error::{ClientError, Failure};
use regionmesh_runtime::describe;
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    path::{Path, PathBuf},
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
/// Longest token, bytes.
const TOKEN_MAX: usize = 4_096;

/// The port of an agent's API where none is given.
const API_PORT: u16 = 9080;

/// How to reach the mesh.
#[derive(Debug, Clone, clap::Args)]
pub struct ClientOptions {
    /// An agent's API: HOST, HOST:PORT or a URL [default port: 9080]; several are tried in turn
    #[arg(
        long = "agent",
        short = 'a',
        value_name = "ADDRESS",
        env = "REGIONMESH_AGENT",
        value_delimiter = ',',
        value_parser = given_agent,
        global = true,
        help_heading = "Global options"
    )]
    agents: Vec<String>,
    /// File with the token that changes of state need
    #[arg(
        long,
        value_name = "FILE",
        env = "REGIONMESH_TOKEN_FILE",
        global = true,
        help_heading = "Global options"
    )]
    token_file: Option<PathBuf>,
    /// Where `up` keeps its state, and agents and token are found if not given [default:
    /// .regionmesh]
    #[arg(
        long,
        value_name = "DIR",
        env = "REGIONMESH_DATA_DIR",
        global = true,
        help_heading = "Global options"
    )]
    data_dir: Option<PathBuf>,
}

impl ClientOptions {
    /// Where `up` keeps its state.
    pub fn data_dir(&self) -> &Path {
        self.data_dir
            .as_deref()
            .unwrap_or_else(|| Path::new(super::up::DATA_DIRECTORY))
    }

    /// A mesh of `up`, by its data directory.
    pub fn of_local_mesh(data_dir: &Path) -> Self {
        Self {
            agents: Vec::new(),
            token_file: None,
            data_dir: Some(data_dir.to_owned()),
        }
    }
}

/// What `up` writes for us.
#[derive(Debug, Deserialize)]
struct ClientFile {
    agents: Vec<String>,
    token_file: Option<PathBuf>,
}

/// A client of a mesh. Clones share which agent answered last.
#[derive(Debug, Clone)]
pub struct Client {
    agents: Vec<Url>,
    /// The token, or why there is none: that matters only where one is needed.
    token: Result<String, String>,
    http: reqwest::Client,
    /// For loopback addresses, which no proxy of the environment can reach.
    direct: reqwest::Client,
    /// Index of the agent that answered last: it is asked first.
    last: Arc<AtomicUsize>,
}

/// An answer, and what had to be passed by to get it.
#[derive(Debug)]
pub struct Answer<T> {
    /// What was answered.
    pub value: T,
    /// The agents that did not answer, and why.
    pub failures: Vec<Failure>,
}

/// Checks an agent's address. A variable of the environment that is set to nothing gives none.
fn given_agent(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Ok(String::new())
    } else {
        agent_url(text).map(|url| url.to_string())
    }
}

/// Reads an agent's address: a URL, or a host with or without a port.
fn agent_url(text: &str) -> Result<Url, String> {
    let text = text.trim();
    let wrong = |why: String| {
        format!("{text:?} is not an agent's address, for example http://10.0.0.7:9080 ({why})")
    };
    let full = match text.parse::<std::net::Ipv6Addr>() {
        Ok(ip) => format!("http://[{ip}]"),
        Err(_) if text.contains("://") => text.to_owned(),
        Err(_) => format!("http://{text}"),
    };
    let mut url = Url::parse(&full).map_err(|error| wrong(error.to_string()))?;

    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(format!("{} is neither http nor https", url.scheme())));
    }

    if !url.has_host() || url.path() != "/" || url.query().is_some() || !url.username().is_empty() {
        return Err(wrong(
            "only a scheme, a host and a port are expected".into(),
        ));
    }

    // A URL without a port has that of its scheme; an address without one has ours.
    let authority = full
        .rsplit_once("://")
        .map_or("", |(_, authority)| authority)
        .trim_end_matches('/');
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));

    if !text.contains("://") && !has_port {
        url.set_port(Some(API_PORT))
            .map_err(|()| wrong("it can't have a port".into()))?;
    }

    Ok(url)
}

impl Client {
    /// A client as the options say.
    pub fn new(options: &ClientOptions) -> Result<Self, ClientError> {
        let path = options.data_dir().join("client.json");
        let given = options.agents.iter().filter(|agent| !agent.is_empty());
        let given = given
            .map(|agent| agent_url(agent).map_err(ClientError::Usage))
            .collect::<Result<Vec<Url>, _>>()?;
        let file = if given.is_empty() || options.token_file.is_none() {
            read_file(&path)?
        } else {
            None
        };

        let agents = match (&given[..], &file) {
            ([], Some(file)) => file
                .agents
                .iter()
                .map(|agent| {
                    agent_url(agent)
                        .map_err(|why| ClientError::Usage(format!("{}: {why}", path.display())))
                })
                .collect::<Result<Vec<_>, _>>()?,
            (given, _) => given.to_vec(),
        };

        if agents.is_empty() {
            return Err(ClientError::Usage(format!(
                "no agent is known: {} does not exist; start a mesh here with `regionmesh up`, or \
                    give --agent ADDRESS",
                path.display()
            )));
        }

        // The file's token is for the file's agents; others must not see it.
        let noted = file.and_then(|file| {
            let is_known = |agent: &Url| {
                file.agents
                    .iter()
                    .any(|known| agent_url(known).as_ref() == Ok(agent))
            };

            file.token_file.filter(|_| agents.iter().all(is_known))
        });

        let token = match (&options.token_file, noted) {
            (Some(given), _) => Ok(read_token(given).map_err(ClientError::Usage)?),
            (None, Some(noted)) => read_token(&noted),
            (None, None) => Err("give --token-file FILE, or set REGIONMESH_TOKEN_FILE".into()),
        };
        let builder = || {
            reqwest::Client::builder()
                .connect_timeout(CONNECT)
                .tcp_keepalive(KEEP_ALIVE)
                .tcp_keepalive_interval(KEEP_ALIVE)
                .tcp_keepalive_retries(KEEP_ALIVE_PROBES)
                // An agent never redirects; whoever does must not see the token.
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("regionmesh/", env!("CARGO_PKG_VERSION")))
        };

        let built = |client: reqwest::Result<reqwest::Client>| {
            client.map_err(|error| {
                ClientError::Usage(format!(
                    "no HTTP client can be made: {}",
                    error::root(&error)
                ))
            })
        };
        let http = built(builder().build())?;
        let direct = built(builder().no_proxy().build())?;

        Ok(Self {
            agents,
            token,
            http,
            direct,
            last: Arc::default(),
        })
    }

    /// The same client, talking to one agent only, as a status names it.
    pub fn only(&self, agent: &str) -> Result<Self, ClientError> {
        Ok(self.pinned(agent_url(agent).map_err(ClientError::Usage)?))
    }

    fn pinned(&self, agent: Url) -> Self {
        Self {
            agents: vec![agent],
            last: Arc::default(),
            ..self.clone()
        }
    }

    /// Says at once that a change will be refused, before anything long is done.
    pub fn require_token(&self) -> Result<(), ClientError> {
        match &self.token {
            Ok(_) => Ok(()),
            Err(why) => Err(ClientError::Usage(format!(
                "this changes the mesh and needs its token: {why}"
            ))),
        }
    }

    /// Asks for JSON; agents that don't answer are named on standard error.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.ask(path, ANSWER).await?;
        for failure in &answer.failures {
            eprintln!("warning: {failure}; another agent answered");
        }
        Ok(answer.value)
    }

    /// Asks for a text; agents that don't answer are named on standard error.
    pub async fn text(&self, path: &str) -> Result<String, ClientError> {
        let answer = self.first(path, ANSWER, answer::text).await?;
        for failure in &answer.failures {
            eprintln!("warning: {failure}; another agent answered");
        }
        Ok(answer.value)
    }

    /// Asks for JSON, each agent at most for `patience`.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        patience: Duration,
    ) -> Result<Answer<T>, ClientError> {
        self.first(path, patience, answer::json).await
    }

    /// The first answer that `read` can read.
    async fn first<T>(
        &self,
        path: &str,
        patience: Duration,
        read: impl AsyncFn(reqwest::Response) -> Result<T, ClientError>,
    ) -> Result<Answer<T>, ClientError> {
        let mut failures = Vec::new();
        let mut refusal = None;
        for (index, agent) in self.in_turn() {
            let asked = async {
                let reply = self
                    .request(Method::GET, agent, path)?
                    .timeout(patience)
                    .send()
                    .await;

                read(reply.map_err(|error| ClientError::broken(agent, &error))?).await
            };

            match asked.await {
                Ok(value) => {
                    self.last.store(index, Ordering::Relaxed);
                    return Ok(Answer { value, failures });
                }
                // One that starts, stops, or is not an agent at all: the next may do better.
                Err(error) if error.is_unavailable() => {
                    failures.push(Failure {
                        agent: agent.clone(),
                        why: error.why(),
                    });

                    if matches!(error, ClientError::Refused { .. }) {
                        refusal.get_or_insert(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }

        Err(match refusal {
            // Where all say the same, what they say is worth more than that nobody answered.
            Some(refusal) if failures.len() == 1 => refusal,
            _ => ClientError::NoAgent { tried: failures },
        })
    }

    /// Opens an answer that does not end, at the first agent that gives one. `last_event` is where
    /// to go on.
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
                    failures.push(Failure {
                        agent: agent.clone(),
                        why: error.why(),
                    });
                }
                Err(error) => return Err(error),
            }
        }

        Err(ClientError::NoAgent { tried: failures })
    }

    /// Asks for a change, which may take long.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
    ) -> Result<T, ClientError> {
        self.post_within(path, body, CHANGE).await
    }

    /// Asks for a change that is done within `patience`, or it is not known what became of it.
    pub async fn post_within<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &serde_json::Value,
        patience: Duration,
    ) -> Result<T, ClientError> {
        self.require_token()?;
        let mut failures = Vec::new();
        for (index, agent) in self.in_turn() {
            let request = self.request(Method::POST, agent, path)?.timeout(patience);
            let request = if body.is_null() {
                request
            } else {
                request.json(body)
            };

            match request.send().await {
                Ok(reply) => {
                    self.last.store(index, Ordering::Relaxed);
                    for failure in &failures {
                        eprintln!("warning: {failure}; asked another agent");
                    }
                    return answer::json(reply).await;
                }
                // Nothing was sent, so another agent may be asked.
                Err(error) if error.is_connect() => {
                    failures.push(Failure {
                        agent: agent.clone(),
                        why: error::root(&error),
                    });
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
        let Some(agent) = self.agents.first() else {
            return Err(ClientError::NoAgent { tried: Vec::new() });
        };
        let request = self
            .request(Method::POST, agent, path)?
            .header(http::header::CONTENT_LENGTH, length);
        let reply = request.body(body).send().await;

        answer::check(reply.map_err(|error| ClientError::broken(agent, &error))?)
            .await
            .map(drop)
    }

    /// Sends files to the one agent of this client, and reads what it makes of them.
    pub async fn send_form<T: DeserializeOwned>(
        &self,
        path: &str,
        form: reqwest::multipart::Form,
    ) -> Result<T, ClientError> {
        let Some(agent) = self.agents.first() else {
            return Err(ClientError::NoAgent { tried: Vec::new() });
        };
        let reply = self
            .request(Method::POST, agent, path)?
            .multipart(form)
            .send()
            .await;

        answer::json(reply.map_err(|error| ClientError::broken(agent, &error))?).await
    }

    /// A client of one agent, to which everything that belongs together may go: the first that is
    /// ready, else the first that answers at all.
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
                        eprintln!("warning: {failure}; asked another agent");
                    }
                    return Ok(self.pinned(agent.clone()));
                }
                Ok(reply) => {
                    let why = format!("it is not ready (HTTP {})", reply.status().as_u16());
                    failures.push(Failure {
                        agent: agent.clone(),
                        why,
                    });

                    unready.get_or_insert(agent);
                }
                Err(error) => failures.push(Failure {
                    agent: agent.clone(),
                    why: error::root(&error),
                }),
            }
        }

        // What it can't do it says itself, with the reason.
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
            .map_err(|error| ClientError::Usage(format!("{agent}: {error}")))?;
        super::text::trace(|| format!("{method} {url}"));

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

fn read_file(path: &Path) -> Result<Option<ClientFile>, ClientError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            ClientError::Usage(format!(
                "{}: {error}; start `regionmesh up` again",
                path.display()
            ))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ClientError::Usage(format!(
            "cannot read {}: {}",
            path.display(),
            describe::io_error(&error)
        ))),
    }
}

fn read_token(path: &Path) -> Result<String, String> {
    let wrong = |why: String| format!("the token file {} {why}", path.display());
    let text =
        std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;

    // An agent's own file may be given: the first token counts, and a name before it is the agent's
    // business.
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let line = lines.next().ok_or_else(|| wrong("is empty".into()))?;
    let token = match line.split_once(char::is_whitespace) {
        Some((_, token)) => token.trim(),
        None => line,
    };

    if token.len() > TOKEN_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong(format!(
            "holds no token: one word of at most {TOKEN_MAX} visible ASCII characters"
        )));
    }

    Ok(token.to_owned())
}

/// Whether an answer means that nothing is wrong with the question, only with the moment.
fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_neither_scheme_nor_port() {
        let read = |text| agent_url(text).unwrap().to_string();
        for (given, expected) in [
            ("10.0.0.7", "http://10.0.0.7:9080/"),
            ("10.0.0.7:80", "http://10.0.0.7/"),
            ("agent.example", "http://agent.example:9080/"),
            ("::1", "http://[::1]:9080/"),
            ("[::1]", "http://[::1]:9080/"),
            ("[::1]:7", "http://[::1]:7/"),
            ("http://10.0.0.7:9080", "http://10.0.0.7:9080/"),
            ("https://agent.example", "https://agent.example/"),
        ] {
            assert_eq!(read(given), expected, "{given}");
        }

        for wrong in ["ftp://x", "http://x/path", "a b", "http://"] {
            assert!(agent_url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_variable_that_is_set_to_nothing_names_no_agent() {
        assert_eq!(
            [given_agent(""), given_agent("  ")],
            [Ok(String::new()), Ok(String::new())]
        );
        assert!(given_agent("ftp://x").is_err());
    }
}
