//! The settings of the model server: `[serving]` of an agent's configuration.

use serde::{Deserialize, Serialize};

/// The embedded model server.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ServingConfig {
    /// Whether the agent serves models itself; if not, another server does.
    pub embedded: bool,
    /// Largest request body, bytes.
    #[schemars(range(min = 1))]
    pub body_limit: usize,
    /// Concurrent inferences per model; more wait. All models together run at most twice as many.
    #[schemars(range(min = 1))]
    pub parallel: usize,
    /// Longest wait of an inference before it is refused with 503, milliseconds; one that would
    /// foreseeably wait longer is refused immediately. 0: no inference waits.
    #[schemars(range(max = 600_000))]
    pub queue_timeout_ms: u64,
    /// Number of versions kept loaded in addition to the default ones; 0: only default versions are
    /// served.
    pub extra_versions: usize,
    /// Memory for loaded models, bytes. A model counts as twice its files: graph and one optimised
    /// plan.
    #[schemars(range(min = 1))]
    pub memory_limit: u64,
    /// Largest tensor that a model may create, bytes, or the size of the model's files if that is
    /// larger. A model that would exceed it is refused, since a failed allocation ends the process.
    #[schemars(range(min = 1))]
    pub max_tensor_bytes: u64,
    /// Timeout for loading a version whose files have been read, first inference included,
    /// milliseconds.
    #[schemars(range(min = 1))]
    pub load_timeout_ms: u64,
    /// Timeout of an inference, waiting included, milliseconds; then the answer is 503 or 504.
    #[schemars(range(min = 1))]
    pub inference_timeout_ms: u64,
}

impl Default for ServingConfig {
    fn default() -> Self {
        Self {
            embedded: true,
            body_limit: 64 << 20,
            parallel: 4,
            queue_timeout_ms: 5_000,
            extra_versions: 4,
            memory_limit: 4 << 30,
            max_tensor_bytes: 1 << 30,
            load_timeout_ms: 60_000,
            inference_timeout_ms: 30_000,
        }
    }
}
