//! Errors as HTTP answers.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use regionmesh_client::ErrorBody;
use regionmesh_protocol::{identity::RegionName, models::manifest::ManifestError, text::visible};
use regionmesh_replication::PublishError;
use regionmesh_runtime::models::ModelError;

/// Longest error message, characters.
const ERROR_MAX: usize = 2_000;
/// The hint for a malformed request.
pub(crate) const SEE_DOCUMENT: &str = "see /v1/openapi.json for what this route takes";

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub(crate) struct ApiError {
    status: StatusCode,
    error: String,
    hint: &'static str,
    code: &'static str,
}

impl ApiError {
    /// An error with what to do about it.
    pub(crate) fn new(status: StatusCode, error: impl Into<String>, hint: &'static str) -> Self {
        Self {
            status,
            error: error.into(),
            hint,
            code: "",
        }
    }

    /// Adds a code by which programs distinguish errors of the same status.
    #[must_use]
    pub(crate) fn with_code(self, code: &'static str) -> Self {
        Self { code, ..self }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The request is wrong.
    pub(crate) fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error, SEE_DOCUMENT)
    }

    /// What was asked for is not there.
    pub(crate) fn not_found(error: impl Into<String>, hint: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, error, hint)
    }

    pub(crate) fn unknown_region(region: &RegionName) -> Self {
        Self::not_found(
            format!("this mesh has no region {region}"),
            "see `regionmesh status`",
        )
    }

    pub(crate) fn no_plan() -> Self {
        let hint = "a plan is committed as soon as a majority of regions can be reached; see \
            `regionmesh status`";

        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no plan is committed yet",
            hint,
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        // It may quote what a client sent: escape it and bound its length.
        let printable = visible(&self.error);
        let error = match printable.char_indices().nth(ERROR_MAX) {
            Some((end, _)) => format!("{}…", &printable[..end]),
            None => printable.into_owned(),
        };
        let hint = if self.hint.is_empty() && self.status == StatusCode::BAD_REQUEST {
            SEE_DOCUMENT
        } else {
            self.hint
        };

        let body = ErrorBody {
            error,
            hint: hint.into(),
            code: self.code.into(),
        };
        let mut response = (self.status, Json(body)).into_response();

        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }

        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }

        response
    }
}

impl From<ModelError> for ApiError {
    fn from(error: ModelError) -> Self {
        let hint = match &error {
            ModelError::NotFound { .. } => "see `regionmesh models list`",
            ModelError::Store { .. } | ModelError::Unavailable(_) | ModelError::Io { .. } => {
                "retry once the store is back (see `regionmesh status`), or publish in another \
                    region"
            }
            _ => "",
        };

        let status = match &error {
            ModelError::NotFound { .. } => StatusCode::NOT_FOUND,
            ModelError::Exists { .. } | ModelError::Claimed { .. } => StatusCode::CONFLICT,
            ModelError::Damaged { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            ModelError::Full { .. } => StatusCode::INSUFFICIENT_STORAGE,
            ModelError::Manifest { .. } => StatusCode::BAD_REQUEST,
            ModelError::Store { .. }
            | ModelError::Unavailable(_)
            | ModelError::NotStored { .. }
            | ModelError::Io { .. } => StatusCode::SERVICE_UNAVAILABLE,
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
            PublishError::Duplicate(_)
            | PublishError::Unfinished(_)
            | PublishError::ExistsElsewhere { .. }
            | PublishError::NameTaken { .. }
            | PublishError::NameDeleted { .. } => StatusCode::CONFLICT,
            PublishError::Sender { ref error, .. }
                if error.kind() == std::io::ErrorKind::TimedOut =>
            {
                StatusCode::REQUEST_TIMEOUT
            }
            // A part is missing, or overlaps another: the state of the upload is wrong, not a
            // single request.
            PublishError::Manifest(ManifestError::Empty | ManifestError::Order(_)) => {
                StatusCode::CONFLICT
            }
            PublishError::Manifest(ManifestError::Limit { .. }) => StatusCode::PAYLOAD_TOO_LARGE,
            PublishError::Manifest(_)
            | PublishError::Truncated { .. }
            | PublishError::Sender { .. } => StatusCode::BAD_REQUEST,
        };

        Self::new(status, error.to_string(), "")
    }
}
