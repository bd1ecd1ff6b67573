//! Authorization: a change needs a bearer token of the configured file (RFC 6750 §2.1).
//!
//! Orders and audit lines are recorded under the token's name, if it has one ([`crate::tokens`]).
//!
//! [`guard`] wraps every route that needs a token. It checks the token *before* reading a byte of
//! the body, bounds the body's size and time, and writes the audit line.

use super::{reply::ApiError, route::BodyKind, server::Limits, state::Api};
use crate::tokens;
use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use regionmesh_client::BY_REQUIRED;
use regionmesh_runtime::logging::Throttle;
use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

/// Longest request line in the log, characters.
const LOGGED_MAX: usize = 300;

/// The name that a client gives; handlers put it into the answer's extensions for the audit line.
#[derive(Debug, Clone)]
pub(crate) struct By(pub String);

/// The name of the request's token, if it has one. [`guard`] puts it into the request's
/// extensions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Operator(pub Option<String>);

impl Operator {
    /// The author of an order: the token's name, else the name that the client gives.
    pub(crate) fn or_given(self, given: String) -> Result<String, ApiError> {
        match self.0 {
            Some(name) => Ok(name),
            None if !given.is_empty() => Ok(given),
            None => {
                let hint = "send who gives it as `by`, or use a token that has a name";
                let error = ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "an order needs to say who gives it",
                    hint,
                );

                Err(error.with_code(BY_REQUIRED))
            }
        }
    }
}

/// What [`guard`] needs.
#[derive(Clone)]
pub(crate) struct Guarded {
    pub(crate) api: Api,
    pub(crate) limits: Limits,
    pub(crate) body: BodyKind,
}

/// Admits a request with a valid token, and logs the request, its sender and the outcome.
pub(crate) async fn guard(
    State(Guarded { api, limits, body }): State<Guarded>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let target = request
        .uri()
        .path_and_query()
        .map_or("", |target| target.as_str());
    let asked: String = format!("{} {target}", request.method())
        .chars()
        .take(LOGGED_MAX)
        .collect();
    let token_file = api.live.borrow().api.token_file.clone();

    let operator = match check(token_file.as_deref(), request.headers()).await {
        Ok(operator) => operator,
        Err(error) => {
            static REFUSED: Throttle = Throttle::new(Duration::from_secs(1));
            if let Some(left_out) = REFUSED.admit(Instant::now()) {
                tracing::warn!(
                    target: "regionmesh::audit",
                    %from,
                    ?asked,
                    left_out,
                    "refused: {error}"
                );
            }
            return error.into_response();
        }
    };

    let mut line = AuditLine {
        from,
        asked,
        by: operator.0.clone().unwrap_or_default(),
        outcome: None,
    };

    request.extensions_mut().insert(operator);
    let response = match body {
        BodyKind::File | BodyKind::Form => next.run(request).await,
        BodyKind::None | BodyKind::Json(_) => {
            let (head, body) = request.into_parts();
            match collect(body, limits).await {
                Ok(bytes) => next.run(Request::from_parts(head, Body::from(bytes))).await,
                Err(error) => error.into_response(),
            }
        }
    };

    if let Some(By(by)) = response.extensions().get() {
        line.by.clone_from(by);
    }
    line.outcome = Some(response.status());
    response
}

/// Logs a change when dropped, even if the client disconnected before the answer.
struct AuditLine {
    from: SocketAddr,
    asked: String,
    by: String,
    outcome: Option<StatusCode>,
}

impl Drop for AuditLine {
    fn drop(&mut self) {
        // Debug forms: a line break in what a client sent would forge log lines.
        let Self {
            from,
            asked,
            by,
            outcome,
        } = self;

        match outcome {
            Some(status) => tracing::info!(
                target: "regionmesh::audit",
                %from,
                ?asked,
                ?by,
                status = status.as_u16(),
                "change answered"
            ),
            None => tracing::warn!(
                target: "regionmesh::audit",
                %from,
                ?asked,
                "the client disconnected before the answer"
            ),
        }
    }
}

/// Reads a JSON body within the limits of size and time.
async fn collect(body: Body, limits: Limits) -> Result<Bytes, ApiError> {
    let whole = Limited::new(body, limits.json_bytes).collect();
    match tokio::time::timeout(limits.json_body, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is longer than {} bytes", limits.json_bytes),
            "only /v1/uploads/{upload}/files takes long bodies",
        )),
        Ok(Err(error)) => Err(ApiError::bad(format!("the body is incomplete: {error}"))),
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("the body was not complete after {:?}", limits.json_body),
            "send it without pauses, with a correct Content-Length",
        )),
    }
}

/// Checks a request's token and returns its name. The file is read each time, so that a new token
/// needs no restart.
async fn check(token_file: Option<&Path>, headers: &HeaderMap) -> Result<Operator, ApiError> {
    let unavailable = |error: String| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            error,
            "give api.token_file in the agent's configuration",
        )
    };
    let path = token_file
        .ok_or_else(|| unavailable("changes of state are off: no token is configured".into()))?;
    let text = tokens::read(path).await.map_err(unavailable)?;
    let known = tokens::parse(&text)
        .map_err(|error| unavailable(format!("the token file {} {error}", path.display())))?;

    let unauthorized = |error: &str| {
        ApiError::new(
            StatusCode::UNAUTHORIZED,
            error,
            "send the header Authorization: Bearer TOKEN",
        )
    };

    let given = headers
        .get(header::AUTHORIZATION)
        .ok_or_else(|| unauthorized("this request changes state and needs a token"))?
        .to_str()
        .ok()
        .and_then(bearer)
        .ok_or_else(|| unauthorized("the Authorization header holds no bearer token"))?;

    // Hashes have equal length and are compared in constant time, with every token: lengths,
    // prefixes and positions don't leak.
    let given = blake3::hash(given.as_bytes());
    let mut found = None;

    for (name, token) in known {
        if blake3::hash(token.as_bytes()) == given {
            found = Some(Operator(name.map(str::to_owned)));
        }
    }

    let wrong = || {
        ApiError::new(
            StatusCode::FORBIDDEN,
            "the token was rejected",
            "use a token of the agent's api.token_file",
        )
    };

    found.ok_or_else(wrong)
}

/// The token of an Authorization header; the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
