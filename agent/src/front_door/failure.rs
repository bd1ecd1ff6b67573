//! Why the front door answers a request itself, and with what.

use super::{
    backend::ANSWER_TIMEOUT,
    body::{BadBody, Outgoing, whole},
};
use http::{Response, StatusCode, header};
use regionmesh_core::admission::retry::GiveUp;
use std::{net::SocketAddr, time::Duration};

/// Why the front door answers a request itself.
pub(super) enum Failure {
    BadBody(BadBody),
    Connect,
    NoPlace { held: Duration },
    NoRegion { held: Duration, last: String },
    NoAnswer(SocketAddr),
    GivenUp { why: GiveUp, last: String },
}

impl Failure {
    pub(super) fn result(&self) -> &'static str {
        match self {
            Self::BadBody(_) | Self::Connect => "bad_request",
            Self::NoPlace { .. } => "no_place",
            Self::NoRegion { .. } => "no_region",
            Self::NoAnswer(_) => "no_answer",
            Self::GivenUp { why, .. } => why.as_str(),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::BadBody(BadBody { status, .. }) => *status,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoPlace { .. }
            | Self::NoRegion { .. }
            | Self::GivenUp {
                why: GiveUp::Budget,
                ..
            } => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoAnswer(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::GivenUp { .. } => StatusCode::BAD_GATEWAY,
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::BadBody(BadBody { why, .. }) => format!("front door: {why}"),
            Self::Connect => "front door: CONNECT is not supported; send the request itself".into(),
            Self::NoPlace { held } => {
                format!(
                    "front door: too many requests wait; this one waited {} s; try again",
                    held.as_secs()
                )
            }
            Self::NoRegion { held, last } => format!(
                "front door: no region could be reached within {} s (last: {last}); run \
                    `regionmesh status` to see why",
                held.as_secs()
            ),
            Self::NoAnswer(address) => {
                format!(
                    "front door: {address} did not answer within {} s",
                    ANSWER_TIMEOUT.as_secs()
                )
            }
            Self::GivenUp { why, last } => format!(
                "front door: {last}; it was not sent again: {}",
                why.describe()
            ),
        }
    }

    pub(super) fn response(&self) -> Response<Outgoing> {
        let body = serde_json::json!({ "error": self.message() }).to_string();
        let mut response = Response::new(whole(body.into()));
        *response.status_mut() = self.status();

        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/json"),
        );

        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}
