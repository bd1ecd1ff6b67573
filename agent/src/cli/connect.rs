//! How commands reach the mesh.
//!
//! Agents and token come from the flags, else the environment, else the `client.json` that `up`
//! writes.

use super::{error::CommandError, text};
use anyhow::Result;
use regionmesh_client::{Client, Notice, agent_url};
use regionmesh_runtime::describe;
use reqwest::Url;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The variable that names the data directory.
pub(super) const DATA_DIRECTORY_VARIABLE: &str = "REGIONMESH_DATA_DIR";
/// The data directory of `up`, where other commands find the mesh, unless another is given.
pub(super) const DATA_DIRECTORY: &str = ".regionmesh";
/// Longest token, bytes.
const TOKEN_MAX: usize = 4_096;

/// How to reach the mesh.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ClientOptions {
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
        env = DATA_DIRECTORY_VARIABLE,
        global = true,
        help_heading = "Global options"
    )]
    data_dir: Option<PathBuf>,
}

impl ClientOptions {
    /// Where `up` keeps its state.
    pub(super) fn data_dir(&self) -> &Path {
        self.data_dir
            .as_deref()
            .unwrap_or_else(|| Path::new(DATA_DIRECTORY))
    }

    /// Options for the mesh that `up` keeps in this data directory.
    pub(super) fn of_local_mesh(data_dir: &Path) -> Self {
        Self {
            agents: Vec::new(),
            token_file: None,
            data_dir: Some(data_dir.to_owned()),
        }
    }

    /// A client for the agents and the token of these options.
    pub(super) fn connect(&self) -> Result<Client> {
        let path = self.data_dir().join("client.json");
        let given = self.agents.iter().filter(|agent| !agent.is_empty());
        let given = given
            .map(|agent| agent_url(agent))
            .collect::<Result<Vec<_>, _>>()?;
        let file = if given.is_empty() || self.token_file.is_none() {
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
                        .map_err(|why| CommandError::Usage(format!("{}: {why}", path.display())))
                })
                .collect::<Result<Vec<_>, _>>()?,
            (given, _) => given.to_vec(),
        };

        if agents.is_empty() {
            return Err(CommandError::Usage(format!(
                "no agent is known: {} does not exist; start a mesh here with `regionmesh up`, or \
                    give --agent ADDRESS",
                path.display()
            ))
            .into());
        }

        // The file's token is for the file's agents; it must not be sent to others.
        let token_file = file.and_then(|file| {
            let is_known = |agent: &Url| {
                file.agents
                    .iter()
                    .any(|known| agent_url(known).as_ref() == Ok(agent))
            };

            file.token_file.filter(|_| agents.iter().all(is_known))
        });

        let token = match (&self.token_file, token_file) {
            (Some(given), _) => Ok(read_token(given).map_err(CommandError::Usage)?),
            (None, Some(path)) => read_token(&path),
            (None, None) => Err("pass --token-file FILE or set REGIONMESH_TOKEN_FILE".into()),
        };

        Ok(Client::new(agents, token)?.observed_by(report))
    }
}

/// The `client.json` that `up` writes.
#[derive(Debug, Deserialize)]
struct ClientFile {
    agents: Vec<String>,
    token_file: Option<PathBuf>,
}

/// Checks an agent's address. An empty environment variable gives none.
fn given_agent(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Ok(String::new())
    } else {
        agent_url(text)
            .map(|url| url.to_string())
            .map_err(|error| error.to_string())
    }
}

/// Reports agents that did not answer on standard error; with `--verbose` every request.
fn report(notice: Notice<'_>) {
    match notice {
        Notice::Request(method, url) => text::trace(|| format!("{method} {url}")),
        Notice::AnsweredByAnother(failure) => {
            eprintln!("warning: {failure}; another agent answered");
        }
        Notice::AskedAnother(failure) => eprintln!("warning: {failure}; asked another agent"),
    }
}

fn read_file(path: &Path) -> Result<Option<ClientFile>, CommandError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            CommandError::Usage(format!(
                "{}: {error}; start `regionmesh up` again",
                path.display()
            ))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CommandError::Usage(format!(
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

    // The token file of an agent may be given: use its first token, without the name before it.
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

#[cfg(test)]
mod tests;
