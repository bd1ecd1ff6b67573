//! What any route may answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Confirms that the request was carried out.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Done {
    /// What was done.
    pub done: String,
}

/// Why a request was not carried out.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// What failed.
    pub error: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// A code for programs, which distinguishes errors of the same status.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
}

/// The code of the error that asks who gives an order.
pub const BY_REQUIRED: &str = "by-required";
/// The code of the refusal of an order that would replace another operator's.
pub const WOULD_REPLACE: &str = "would-replace";
/// The code of the refusal to drain the last region that can serve.
pub const LAST_SERVING: &str = "last-serving-region";
