//! Why a command could not be carried out, where the mesh did not say.

/// Why a command could not be carried out; decides the exit code.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    /// Bad usage: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The mesh did not get there in the time given: exit code 3.
    #[error("{0}")]
    Deadline(String),
}
