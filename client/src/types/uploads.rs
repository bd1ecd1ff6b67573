//! Open uploads.

use serde::{Deserialize, Serialize};

/// `GET /v1/uploads`: the uploads that are open at one agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Uploads {
    /// The agent that answers.
    pub agent: String,
    /// The longest idle first.
    pub uploads: Vec<UploadStatus>,
}

/// One open upload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UploadStatus {
    /// Names the upload in the calls that go on with it.
    pub upload: String,
    pub model: String,
    pub version: String,
    /// Who publishes, as they said.
    pub publisher: String,
    /// Files that arrived whole.
    pub files: usize,
    /// Their size, bytes.
    pub bytes: u64,
    /// Whether a file is arriving.
    pub receiving: bool,
    /// How long ago something was added.
    pub idle_ms: u64,
    /// When it is dropped if nothing is added.
    pub expires_in_ms: u64,
}
