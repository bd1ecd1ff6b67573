//! Reading what an agent answers, within limits: at that address anything may listen.

use crate::{
    error::{ClientError, origin, root},
    types::ErrorBody,
};
use regionmesh_protocol::text::is_unprintable;
use reqwest::{Response, Url};
use serde::de::DeserializeOwned;

/// Longest answer, bytes. A status of 256 agents and 10,000 versions has about 4 MB.
const ANSWER_MAX: usize = 64 << 20;
/// Longest error, bytes.
const ERROR_MAX: usize = 64 << 10;
/// How much of an answer that is not ours is quoted, characters.
const QUOTED: usize = 200;

/// Reads JSON.
pub(crate) async fn json<T: DeserializeOwned>(reply: Response) -> Result<T, ClientError> {
    let agent = base(&reply);
    let bytes = collect(check(reply).await?, ANSWER_MAX).await?;
    serde_json::from_slice(&bytes).map_err(|error| ClientError::Foreign {
        agent,
        why: error.to_string(),
    })
}

/// Reads a text. What is not printable in it is left out, but for line breaks.
pub(crate) async fn text(reply: Response) -> Result<String, ClientError> {
    let agent = base(&reply);
    let bytes = collect(check(reply).await?, ANSWER_MAX).await?;
    let text = String::from_utf8(bytes).map_err(|error| ClientError::Foreign {
        agent,
        why: error.to_string(),
    })?;

    Ok(text
        .chars()
        .filter(|c| matches!(c, '\n' | '\r') || !is_unprintable(*c))
        .collect())
}

/// Turns an error answer into an error.
pub(crate) async fn check(reply: Response) -> Result<Response, ClientError> {
    let agent = base(&reply);
    let status = reply.status();
    if status.is_success() {
        return Ok(reply);
    }

    // An error that can't be read whole is still that error.
    let bytes = collect(reply, ERROR_MAX).await.unwrap_or_default();
    let ErrorBody { error, hint, code } = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
        let text: String = String::from_utf8_lossy(&bytes)
            .chars()
            .filter(|c| !is_unprintable(*c))
            .take(QUOTED)
            .collect();
        let reason = status.canonical_reason().unwrap_or_default();
        let error = format!(
            "{} answered {} {reason} {text}",
            origin(&agent),
            status.as_u16()
        );

        ErrorBody {
            error: error.trim_end().into(),
            hint: String::new(),
            code: String::new(),
        }
    });

    Err(ClientError::Refused {
        error,
        hint,
        status,
        code,
    })
}

async fn collect(mut reply: Response, limit: usize) -> Result<Vec<u8>, ClientError> {
    let agent = base(&reply);
    let mut bytes = Vec::new();
    let broken = |error: reqwest::Error| ClientError::Connection {
        agent: agent.clone(),
        why: root(&error),
    };

    while let Some(piece) = reply.chunk().await.map_err(broken)? {
        if bytes.len() + piece.len() > limit {
            return Err(ClientError::Foreign {
                agent,
                why: format!("its answer is longer than {limit} bytes"),
            });
        }

        bytes.extend_from_slice(&piece);
    }

    Ok(bytes)
}

fn base(reply: &Response) -> Url {
    let mut url = reply.url().clone();
    url.set_path("");
    url.set_query(None);
    url
}
