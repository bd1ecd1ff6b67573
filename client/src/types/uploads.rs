//! Open uploads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /v1/uploads`: the uploads that are open at one agent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Uploads {
    /// The agent that answers.
    pub agent: String,
    /// The longest idle first.
    pub uploads: Vec<UploadStatus>,
}

/// An open upload.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct UploadStatus {
    /// Identifies the upload in later calls.
    pub upload: String,
    pub model: String,
    pub version: String,
    /// Who publishes, as given.
    pub publisher: String,
    /// How many files arrived completely.
    pub files: usize,
    /// The size of these files, bytes.
    pub bytes: u64,
    /// Whether a file is arriving.
    pub receiving: bool,
    /// How long ago something was added, milliseconds.
    pub idle_ms: u64,
    /// Time until it is dropped if nothing is added, milliseconds.
    pub expires_in_ms: u64,
}
