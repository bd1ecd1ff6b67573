//! What any route may answer.

use serde::{Deserialize, Serialize};

/// An answer that only says that it was done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Done {
    /// What was done.
    pub done: String,
}

/// Every error.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What was wrong.
    pub error: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// A word for programs, where errors of one status are to be told apart.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub code: String,
}

/// The code of the error that asks who gives an order.
pub const BY_REQUIRED: &str = "by-required";
/// The code of the refusal of an order that would replace another operator's.
pub const WOULD_REPLACE: &str = "would-replace";
/// The code of the refusal to drain the last region that can serve.
pub const LAST_SERVING: &str = "last-serving-region";
