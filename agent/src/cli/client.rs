//! Talks to any agent of a mesh.
//!
//! Which agents and which token: the flags, else the environment, else the `client.json` that `up` writes. Agents are
//! tried in turn: any of them answers for the whole mesh.

use crate::api::types::ErrorBody;
use reqwest::{Method, Response, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

/// How long an agent may take to accept a connection before the next is tried.
const CONNECT: Duration = Duration::from_secs(1);
/// How long an agent may take to answer a question.
const ANSWER: Duration = Duration::from_secs(30);

/// Why a command could not be carried out; decides the exit code.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Bad usage: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// No agent, or no majority: exit code 3.
    #[error("{0}")]
    Unavailable(String),
    /// The agent said no: exit code 1.
    #[error("{error}{}", if hint.is_empty() { String::new() } else { format!("; {hint}") })]
    Refused {
        /// What was wrong.
        error: String,
        /// What to do.
        hint: String,
        /// The HTTP status.
        status: StatusCode,
    },
}

/// How to reach the mesh.
#[derive(Debug, Clone, clap::Args)]
pub struct ClientOptions {
    /// An agent's API, for example http://10.0.0.7:9080; may be given several times, they are tried in turn.
    #[arg(long = "agent", value_name = "URL", env = "REGIONMESH_AGENT", value_delimiter = ',')]
    agents: Vec<String>,
    /// File with the token that changes of state need.
    #[arg(long, value_name = "FILE", env = "REGIONMESH_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Where `up` keeps its state: agents and token are found there when not given.
    #[arg(long, value_name = "DIR", default_value = ".regionmesh")]
    data_dir: PathBuf,
}

#[derive(Debug, Deserialize)]
struct ClientFile {
    agents: Vec<String>,
    token_file: Option<PathBuf>,
}

/// A client of a mesh.
#[derive(Debug, Clone)]
pub struct Client {
    agents: Vec<String>,
    token: Option<String>,
    http: reqwest::Client,
}

impl Client {
    /// A client as the options say.
    pub fn new(options: &ClientOptions) -> Result<Self, ClientError> {
        let path = options.data_dir.join("client.json");
        let file = if options.agents.is_empty() || options.token_file.is_none() { read_file(&path)? } else { None };
        let agents = match (&options.agents[..], &file) {
            ([], Some(file)) => file.agents.clone(),
            ([], None) => {
                let path = path.display();
                return Err(ClientError::Usage(format!(
                    "no agent is known: {path} does not exist; start a mesh here with `regionmesh up`, or give --agent URL"
                )));
            }
            (given, _) => given.to_vec(),
        };
        let token_file = options.token_file.clone().or(file.and_then(|file| file.token_file));
        let token = match token_file {
            Some(path) => Some(
                std::fs::read_to_string(&path)
                    .map_err(|error| {
                        ClientError::Usage(format!("cannot read the token file {}: {error}", path.display()))
                    })?
                    .trim()
                    .to_owned(),
            ),
            None => None,
        };
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .build()
            .map_err(|error| ClientError::Usage(error.to_string()))?;
        let agents = agents.iter().map(|agent| agent.trim_end_matches('/').to_owned()).collect();
        Ok(Self { agents, token, http })
    }

    /// The same client, talking to one agent only.
    pub fn only(&self, agent: &str) -> Self {
        Self { agents: vec![agent.trim_end_matches('/').to_owned()], ..self.clone() }
    }

    /// Asks for JSON.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        read(self.first(Method::GET, path, &serde_json::Value::Null, ANSWER).await?).await
    }

    /// Asks for a change, which may take long.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &serde_json::Value) -> Result<T, ClientError> {
        read(self.first(Method::POST, path, body, Duration::from_secs(3600)).await?).await
    }

    /// Sends a body to the one agent of this client.
    pub async fn send(&self, path: &str, length: u64, body: reqwest::Body) -> Result<(), ClientError> {
        let agent = self.agents.first().map(String::as_str).unwrap_or_default();
        let request =
            self.request(Method::POST, &format!("{agent}{path}")).header(http::header::CONTENT_LENGTH, length);
        let reply = request.body(body).send().await;
        let reply = reply.map_err(|error| ClientError::Unavailable(format!("{agent}: {}", root(&error))))?;
        check(reply).await.map(drop)
    }

    /// The first agent that takes a connection; everything that follows may go to it.
    pub async fn reachable(&self) -> Result<Self, ClientError> {
        let mut failures = Vec::new();
        for agent in &self.agents {
            let asked =
                self.request(Method::GET, &format!("{agent}/readyz")).timeout(Duration::from_secs(5)).send().await;
            match asked {
                Ok(_) => return Ok(self.only(agent)),
                Err(error) => failures.push(format!("{agent}: {}", root(&error))),
            }
        }
        Err(unreachable(&failures))
    }

    fn request(&self, method: Method, url: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn first(
        &self,
        method: Method,
        path: &str,
        body: &serde_json::Value,
        patience: Duration,
    ) -> Result<Response, ClientError> {
        let mut failures = Vec::new();
        for agent in &self.agents {
            let mut request = self.request(method.clone(), &format!("{agent}{path}")).timeout(patience);
            if !body.is_null() {
                request = request.json(body);
            }
            match request.send().await {
                Ok(reply) => return check(reply).await,
                // Only where nothing was sent may another agent be asked to change something.
                Err(error) if error.is_connect() || method == Method::GET => {
                    failures.push(format!("{agent}: {}", root(&error)));
                }
                Err(error) => {
                    let why = root(&error);
                    return Err(ClientError::Unavailable(format!(
                        "{agent} broke off ({why}); it may have been done, look before you repeat it"
                    )));
                }
            }
        }
        Err(unreachable(&failures))
    }
}

fn read_file(path: &Path) -> Result<Option<ClientFile>, ClientError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| ClientError::Usage(format!("{}: {error}; start `regionmesh up` again", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ClientError::Usage(format!("cannot read {}: {error}", path.display()))),
    }
}

fn unreachable(failures: &[String]) -> ClientError {
    ClientError::Unavailable(format!("no agent can be reached:\n  {}", failures.join("\n  ")))
}

async fn check(reply: Response) -> Result<Response, ClientError> {
    let status = reply.status();
    if status.is_success() {
        return Ok(reply);
    }
    let text = reply.text().await.unwrap_or_default();
    let ErrorBody { error, hint } = serde_json::from_str(&text).unwrap_or_else(|_| ErrorBody {
        error: format!("HTTP {status}: {}", text.chars().take(200).collect::<String>()),
        hint: String::new(),
    });
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let hint = if hint.is_empty() { hint } else { format!("; {hint}") };
        return Err(ClientError::Unavailable(format!("{error}{hint}")));
    }
    Err(ClientError::Refused { error, hint, status })
}

async fn read<T: DeserializeOwned>(reply: Response) -> Result<T, ClientError> {
    let url = reply.url().to_string();
    reply
        .json()
        .await
        .map_err(|error| ClientError::Unavailable(format!("{url} answered something else: {}", root(&error))))
}

fn root(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root)
}
