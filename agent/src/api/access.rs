//! Who may change state: whoever shows the bearer token of the configured file (RFC 6750 §2.1).

use super::reply::ApiError;
use http::{HeaderMap, StatusCode, header};
use std::path::Path;

/// Longest token, bytes.
const TOKEN_MAX: u64 = 4_096;

/// Checks a request's token. The file is read each time, so that a new token needs no restart.
pub async fn check(token_file: Option<&Path>, headers: &HeaderMap) -> Result<(), ApiError> {
    let unavailable = |error: String| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error, "give api.token_file in the agent's configuration")
    };
    let path = token_file.ok_or_else(|| unavailable("changes of state are off: no token is configured".into()))?;
    let expected = read(path).await.map_err(unavailable)?;
    let given = headers.get(header::AUTHORIZATION).ok_or_else(|| {
        let error = "this request changes state and needs a token";
        ApiError::new(StatusCode::UNAUTHORIZED, error, "send the header Authorization: Bearer TOKEN")
    })?;
    let given = given.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    // Hashes of equal length are compared in constant time; lengths and prefixes of the token don't leak.
    if blake3::hash(given.trim().as_bytes()) == blake3::hash(expected.trim().as_bytes()) {
        return Ok(());
    }
    Err(ApiError::new(StatusCode::FORBIDDEN, "the token is not the right one", "see api.token_file of that agent"))
}

async fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("the token file {} can't be read: {error}", path.display());
    if tokio::fs::metadata(path).await.map_err(unreadable)?.len() > TOKEN_MAX {
        return Err(format!("the token file {} is too large", path.display()));
    }
    let token = tokio::fs::read_to_string(path).await.map_err(unreadable)?;
    if token.trim().is_empty() {
        return Err(format!("the token file {} is empty", path.display()));
    }
    Ok(token)
}
