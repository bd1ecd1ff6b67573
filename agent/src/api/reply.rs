//! Errors as HTTP answers.

use super::types::ErrorBody;
use crate::{replication::publish::PublishError, store::models::ModelError};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ApiError {
    status: StatusCode,
    error: String,
    hint: &'static str,
    code: &'static str,
}

impl ApiError {
    /// An error with what to do about it.
    pub fn new(status: StatusCode, error: impl Into<String>, hint: &'static str) -> Self {
        Self { status, error: error.into(), hint, code: "" }
    }

    /// The same error with a word for programs, which tells it from others of its status.
    #[must_use]
    pub fn with_code(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    /// The request is wrong.
    pub fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, "")
    }

    /// What was asked for is not there.
    pub fn not_found(error: impl Into<String>, hint: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, hint)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody { error: self.error, hint: self.hint.into(), code: self.code.into() };
        let mut response = (self.status, Json(body)).into_response();
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<ModelError> for ApiError {
    fn from(error: ModelError) -> Self {
        let hint = match &error {
            ModelError::NotFound { .. } => "see /v1/models for what there is, and where",
            ModelError::Store { .. } => "see the agent's log and its store configuration",
            _ => "",
        };
        let status = match &error {
            ModelError::NotFound { .. } => StatusCode::NOT_FOUND,
            ModelError::Exists { .. } | ModelError::Claimed { .. } => StatusCode::CONFLICT,
            ModelError::Damaged { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            ModelError::Full { .. } => StatusCode::INSUFFICIENT_STORAGE,
            ModelError::Manifest { .. } => StatusCode::BAD_REQUEST,
            ModelError::Store { .. } | ModelError::Io { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string(), hint)
    }
}

impl From<PublishError> for ApiError {
    fn from(error: PublishError) -> Self {
        let status = match error {
            PublishError::Model(error) => return error.into(),
            PublishError::NoUpload(_) => StatusCode::NOT_FOUND,
            PublishError::TooMany => StatusCode::SERVICE_UNAVAILABLE,
            PublishError::Duplicate(_) | PublishError::Unfinished(_) | PublishError::ExistsElsewhere { .. } => {
                StatusCode::CONFLICT
            }
            PublishError::Sender { ref error, .. } if error.kind() == std::io::ErrorKind::TimedOut => {
                StatusCode::REQUEST_TIMEOUT
            }
            PublishError::Manifest(_) | PublishError::Truncated { .. } | PublishError::Sender { .. } => {
                StatusCode::BAD_REQUEST
            }
        };
        Self::new(status, error.to_string(), "")
    }
}
