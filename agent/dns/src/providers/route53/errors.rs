//! Classifies errors of the API.

use crate::providers::ProviderError;
use aws_sdk_route53::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use std::time::Duration;

/// The provider's name.
pub(crate) const PROVIDER: &str = "route53";

/// The class of an API error, which decides about retries.
pub(super) enum ErrorClass {
    Throttled { code: String },
    Unanswered { why: String },
    Refused { code: String, message: String },
}

pub(super) fn too_many(operation: &'static str, limit: usize, what: &str) -> ProviderError {
    ProviderError::Refused {
        provider: PROVIDER,
        operation,
        code: "TooMany".into(),
        message: format!("there are more than {limit} {what}"),
    }
}

impl ErrorClass {
    /// The error of an operation that was abandoned after `waited`.
    pub(super) fn into_error(self, operation: &'static str, waited: Duration) -> ProviderError {
        match self {
            ErrorClass::Throttled { code } => ProviderError::Busy {
                provider: PROVIDER,
                operation,
                code,
                waited,
            },
            ErrorClass::Unanswered { why } => ProviderError::Unanswered {
                provider: PROVIDER,
                operation,
                why,
            },
            ErrorClass::Refused { code, message } => ProviderError::Refused {
                provider: PROVIDER,
                operation,
                code,
                message,
            },
        }
    }
}

pub(super) fn classify<E>(error: SdkError<E, HttpResponse>) -> ErrorClass
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    if let SdkError::ServiceError(service) = &error {
        let status = service.raw().status().as_u16();
        // InvalidChangeBatch may be its own XML element instead of a regular error.
        let is_bare = || {
            service
                .raw()
                .body()
                .bytes()
                .is_some_and(|body| contains(body, b"<InvalidChangeBatch"))
        };

        let unnamed = || {
            if is_bare() {
                "InvalidChangeBatch"
            } else {
                "Unknown"
            }
        };
        let code = service.err().code().unwrap_or_else(unnamed).to_owned();
        let message = service
            .err()
            .message()
            .map_or_else(|| root(service.err()), str::to_owned);

        return match code.as_str() {
            "Throttling"
            | "ThrottlingException"
            | "RequestLimitExceeded"
            | "TooManyRequestsException"
            | "PriorRequestNotComplete" => ErrorClass::Throttled { code },
            _ if status >= 500 => ErrorClass::Unanswered {
                why: format!("HTTP {status} {code}: {message}"),
            },
            _ => ErrorClass::Refused { code, message },
        };
    }

    if let SdkError::DispatchFailure(failure) = &error {
        // Not a network fault or time-out: missing credentials or a bad endpoint. Nothing was sent.
        if !failure.is_timeout() && !failure.is_io() && failure.as_other().is_none() {
            return ErrorClass::Refused {
                code: "NotSent".into(),
                message: root(&error),
            };
        }
    }

    if let SdkError::ConstructionFailure(_) = &error {
        return ErrorClass::Refused {
            code: "NotSent".into(),
            message: root(&error),
        };
    }

    ErrorClass::Unanswered { why: root(&error) }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The innermost cause.
fn root(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root)
}
