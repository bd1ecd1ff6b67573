//! Open uploads.

use regionmesh_replication::OpenUpload;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// `GET /v1/uploads`: the uploads that are open at one agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Uploads {
    /// The agent.
    pub agent: String,
    /// The longest idle first.
    pub uploads: Vec<UploadStatus>,
}

/// One open upload.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UploadStatus {
    /// Names the upload in the calls that go on with it.
    pub upload: String,
    /// The model.
    pub model: String,
    /// The version.
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

impl From<&OpenUpload> for UploadStatus {
    fn from(upload: &OpenUpload) -> Self {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            upload: upload.id.clone(),
            model: upload.model.to_string(),
            version: upload.version.to_string(),
            publisher: upload.publisher.clone(),
            files: upload.files,
            bytes: upload.bytes,
            receiving: upload.is_receiving,
            idle_ms: millis(upload.idle),
            expires_in_ms: millis(upload.idle_max.saturating_sub(upload.idle)),
        }
    }
}
