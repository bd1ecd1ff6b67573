//! Errors of the commands themselves, and exit codes.

/// Bad usage or bad configuration.
pub(super) const USAGE: u8 = 2;
/// The mesh can't do it now: no agent, no majority.
pub(super) const UNAVAILABLE: u8 = 3;

/// Why a command failed; decides the exit code.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// Bad usage: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The mesh did not reach the wanted state in time: exit code 3.
    #[error("{0}")]
    Deadline(String),
}
