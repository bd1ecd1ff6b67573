//! What an error of the API means to us.

use crate::providers::ProviderError;
use aws_sdk_route53::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use std::time::Duration;

/// The provider's name.
pub(crate) const PROVIDER: &str = "route53";

/// What an API error means to us.
pub(super) enum Meaning {
    PutOff { code: String },
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

impl Meaning {
    /// The error of an operation that was given up after `waited`.
    pub(super) fn into_error(self, operation: &'static str, waited: Duration) -> ProviderError {
        match self {
            Meaning::PutOff { code } => ProviderError::Busy {
                provider: PROVIDER,
                operation,
                code,
                waited,
            },
            Meaning::Unanswered { why } => ProviderError::Unanswered {
                provider: PROVIDER,
                operation,
                why,
            },
            Meaning::Refused { code, message } => ProviderError::Refused {
                provider: PROVIDER,
                operation,
                code,
                message,
            },
        }
    }
}

pub(super) fn meaning<E>(error: SdkError<E, HttpResponse>) -> Meaning
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    if let SdkError::ServiceError(service) = &error {
        let status = service.raw().status().as_u16();
        // An InvalidChangeBatch may come as an element of that name instead of as an error like
        // all others.
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
            | "PriorRequestNotComplete" => Meaning::PutOff { code },
            _ if status >= 500 => Meaning::Unanswered {
                why: format!("HTTP {status} {code}: {message}"),
            },
            _ => Meaning::Refused { code, message },
        };
    }

    if let SdkError::DispatchFailure(failure) = &error {
        // Neither a network fault nor a time-out: no credentials, a bad endpoint. Nothing was sent.
        if !failure.is_timeout() && !failure.is_io() && failure.as_other().is_none() {
            return Meaning::Refused {
                code: "NotSent".into(),
                message: root(&error),
            };
        }
    }

    if let SdkError::ConstructionFailure(_) = &error {
        return Meaning::Refused {
            code: "NotSent".into(),
            message: root(&error),
        };
    }

    Meaning::Unanswered { why: root(&error) }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The innermost cause.
fn root(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root)
}
