//! Why a fetch fails.

use regionmesh_runtime::models::ModelError;

/// Why a version could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No agent that holds the version could be reached, or none could send all of it.
    #[error("{what} could not be fetched from any of {asked} agents; last: {last}")]
    NoSource {
        /// `model@version`.
        what: String,
        /// Number of agents tried.
        asked: usize,
        /// The last failure.
        last: String,
    },
    /// The local store or disk failed.
    #[error(transparent)]
    Local(#[from] ModelError),
    /// All chunks are correct but the whole file is not: the manifest contradicts itself.
    #[error(
        "{what}: the digest of file {path} differs from its manifest, although all chunks match"
    )]
    Whole {
        /// `model@version`.
        what: String,
        path: String,
    },
}
