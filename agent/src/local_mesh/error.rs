//! Errors of a mesh on one machine: what is wrong, where, and what to do.

use crate::config::ConfigError;
use regionmesh_protocol::identity::AgentId;
use std::{io, path::PathBuf};

/// Why `regionmesh up` fails.
#[derive(Debug, thiserror::Error)]
pub enum LocalMeshError {
    /// The options contradict each other, or what the data directory holds.
    #[error("{0}")]
    Options(String),
    /// Another `up` uses the data directory.
    #[error("{path} is in use by another `regionmesh up` (pid {pid}): stop that one, or choose \
        another --data-dir", path = .path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// Pid of the other process.
        pid: String,
    },
    /// The data directory is a file, foreign, or its contents can't be read.
    #[error("{path} can't be the data directory: {why}", path = .path.display())]
    DataDirectory {
        /// The path that is wrong.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// Reading or writing below the data directory failed.
    #[error("cannot {doing} {path}: {source}", path = .path.display())]
    Io {
        /// What was tried: `read`, `write`, `create`.
        doing: &'static str,
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Certificates could not be made.
    #[error("certificates in {path} can't be made: {why}", path = .path.display())]
    Certificates {
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// A generated configuration does not read back: a fault of ours, reported rather than run.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Loopback addresses are missing.
    #[error(
        "this machine has no address {}; add {}:\n  {}",
        .addresses.join(", "),
        if .addresses.len() == 1 { "it" } else { "them" },
        .commands.join("\n  ")
    )]
    NoLoopback {
        /// Addresses that no interface has.
        addresses: Vec<String>,
        /// What to run.
        commands: Vec<String>,
    },
    /// Something else listens on addresses that the mesh needs.
    #[error("in use by another process:\n  {}\nstop it (on Linux `ss -lntup` names it), then run \
        `regionmesh up` again", .0.join("\n  "))]
    PortsInUse(
        /// Each `address:port/transport (what for)`.
        Vec<String>,
    ),
    /// Agents of an earlier run can't be ended.
    #[error("agents from an earlier run could not be stopped: {}; end them with `kill -9 <pid>`",
        .0.join(", "))]
    Leftover(
        /// Each agent with its pid.
        Vec<String>,
    ),
    /// A child could not be started at all.
    #[error("cannot start {agent} ({program}): {source}", program = .program.display())]
    Spawn {
        agent: AgentId,
        /// What was run.
        program: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A child ended before it was ready.
    #[error("{} ended before it was ready ({}). The end of \
        {}:\n{}", .0.agent, .0.why, .0.log.display(), .0.tail)]
    Ended(Box<Trouble>),
    /// A child runs and is not ready in time.
    #[error("{} was not ready in time ({}). The end of \
        {}:\n{}", .0.agent, .0.why, .0.log.display(), .0.tail)]
    NotReady(Box<Trouble>),
    /// There is no such agent in this mesh.
    #[error("this mesh has no agent {0}")]
    NoSuchAgent(AgentId),
    /// A model could not be published.
    #[error("publishing {name} failed: {why}")]
    Publish { name: String, why: String },
    /// The front door could not be opened.
    #[error(transparent)]
    FrontDoor(#[from] crate::front_door::FrontDoorError),
}

/// What is known of a child that did not become ready.
#[derive(Debug)]
pub struct Trouble {
    pub agent: AgentId,
    /// How it ended, or what its `/readyz` said last.
    pub why: String,
    /// Its log file.
    pub log: PathBuf,
    /// The log's last lines.
    pub tail: String,
}

impl LocalMeshError {
    /// For `map_err`: an input-output error with what was done and where.
    pub(super) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }
}
