//! Why an identity can't be loaded.

use std::path::PathBuf;

/// Why an identity could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file is missing or malformed.
    #[error("{path}: {why}")]
    File { path: PathBuf, why: String },
    /// The certificate belongs to another agent.
    #[error(
        "{path} is the certificate of {found}, but the configuration expects {expected}; issue one \
            with: regionmesh ca issue"
    )]
    NotOurs {
        path: PathBuf,
        /// The SPIFFE ID in it.
        found: String,
        /// The configured SPIFFE ID.
        expected: String,
    },
    /// The certificate is not valid now, or not issued by the configured authorities.
    #[error("{path} would be refused by every peer: {why}")]
    Invalid { path: PathBuf, why: String },
}
