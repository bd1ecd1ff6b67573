//! Why an acceptor can't answer.

use crate::fault::words;
use object_store::path::Path;
use regionmesh_core::slots::ATTEMPTS;
use regionmesh_protocol::codec::CodecError;
use std::time::Duration;
use strum::IntoStaticStr;

/// Why an acceptor could not answer.
#[derive(Debug, thiserror::Error, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum SlotError {
    /// The store failed; the operation may have been done.
    #[error("{acceptor} store: cannot {action} {path}: {}", words(.error))]
    Store {
        /// `region` or `witness`.
        acceptor: &'static str,
        /// What was tried.
        action: &'static str,
        /// The object or folder.
        path: Path,
        error: object_store::Error,
    },
    /// The store did not answer in time; the operation may have been done.
    #[error("{acceptor} store: no answer to {action} {path} within {timeout:?}")]
    #[strum(serialize = "timeout")]
    TimedOut {
        /// `region` or `witness`.
        acceptor: &'static str,
        /// What was tried.
        action: &'static str,
        /// The object or folder.
        path: Path,
        timeout: Duration,
    },
    /// Written by a version with another slot layout.
    #[error(
        "{acceptor} store: {path} was written by another version of regionmesh; stop all agents, \
            delete `register/` from every store and the witness and `committed-plan` from every \
            data_dir, and start again (models stay)"
    )]
    OtherLayout {
        /// `region` or `witness`.
        acceptor: &'static str,
        path: Path,
    },
    /// A slot is damaged; the acceptor stays silent until an operator deletes it.
    #[error(
        "{path} is not a register slot ({error}); delete it: the acceptor then knows that it lost \
            its state and joins again. Never put it back from a backup"
    )]
    Corrupt { path: Path, error: CodecError },
    /// The state is too large for a slot.
    #[error("the acceptor's state cannot be written: {0}")]
    #[strum(serialize = "too-large")]
    Unwritable(CodecError),
    /// Other agents kept writing, or the store kept failing.
    #[error(
        "{acceptor} store: gave up after {ATTEMPTS} attempts, other agents write to the same \
            register all the time"
    )]
    Contended {
        /// `region` or `witness`.
        acceptor: &'static str,
    },
    /// The agent could not judge a plan.
    #[error("a plan could not be judged: {why}")]
    Unjudged { why: String },
    /// The last slot number is in use.
    #[error("the register's slots are used up")]
    Exhausted,
}

impl SlotError {
    /// The metric's label.
    pub(super) fn reason(&self) -> &'static str {
        self.into()
    }
}
