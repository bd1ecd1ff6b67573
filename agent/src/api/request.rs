//! What requests hold: names, free texts and JSON bodies.

use super::reply::ApiError;
use axum::{body::Bytes, http::StatusCode};
use regionmesh_protocol::text::unprintable;
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// Parses a name in a path.
pub(crate) fn name<T: FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, ApiError> {
    text.parse()
        .map_err(|error: T::Err| ApiError::bad(error.to_string()))
}

/// Parses a name in a field of a body.
pub(crate) fn named<T: FromStr<Err: std::fmt::Display>>(
    field: &str,
    text: &str,
) -> Result<T, ApiError> {
    text.parse()
        .map_err(|error: T::Err| ApiError::bad(format!("{field}: {error}")))
}

/// Parses a JSON body; an empty one is an empty object.
pub(crate) fn json<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    let text: &[u8] = if body.is_empty() { b"{}" } else { body };
    // serde would also take an array, as the fields in their order.
    if text.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::bad(
            "the body is not the JSON expected: it is not an object",
        ));
    }

    serde_json::from_slice(text)
        .map_err(|error| ApiError::bad(format!("the body is not the JSON expected: {error}")))
}

/// Checks a free text of a request. Texts reach every agent, logs and terminals: they must be
/// short, and hold nothing that could forge a log line or rewrite a screen.
pub(crate) fn text(field: &str, text: &str, limit: usize) -> Result<(), ApiError> {
    let length = text.chars().count();
    if length > limit {
        return Err(ApiError::bad(format!(
            "{field}: {length} characters, the limit is {limit}"
        )));
    }

    if let Some(found) = unprintable(text) {
        let error = format!("{field}: it holds {found:?}");
        let hint =
            "control characters, line breaks and changes of direction are not allowed in texts";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, error, hint));
    }

    Ok(())
}
