//! The error response to a client: a status and one sentence.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

/// An error response; the body is `{"error": message}` as the Open Inference Protocol requires.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// What was wrong, where, and what was expected.
    pub(crate) message: String,
    /// When to try again, seconds; sent with 503.
    pub(crate) retry_after_s: u64,
}

/// Longest error message; reasons come from models and clients, and may be long.
const MESSAGE_MAX: usize = 2_000;

impl Refusal {
    /// With any status.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let message: String = message.into();
        let message = match message.char_indices().nth(MESSAGE_MAX) {
            Some((end, _)) => format!("{}…", &message[..end]),
            None => message,
        };

        Self {
            status,
            message,
            retry_after_s: 1,
        }
    }

    /// 400: the request is wrong and will stay wrong.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404: no such model, version or path.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 503: try again, here or elsewhere.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// 500: the model or the engine is at fault.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = (
            self.status,
            axum::Json(serde_json::json!({ "error": self.message })),
        )
            .into_response();

        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(self.retry_after_s));
        }

        response
    }
}

/// Text from a client, shortened for an error message.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", text.chars().take(80).collect::<String>())
}
