//! Headers that a proxy has to handle.

use http::{
    HeaderMap, HeaderName,
    header::{
        CONNECTION, CONTENT_LENGTH, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RETRY_AFTER, TE,
        TRAILER, TRANSFER_ENCODING, UPGRADE,
    },
};

/// Headers of one connection, not of the message (RFC 9110 §7.6.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];
/// Value used for a `Retry-After` that is a date; model servers don't send one.
const DATE_MS: u64 = 1_000;

/// Removes the headers that apply only to the connection that a message arrived on.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();

    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

/// The value of `Retry-After`, milliseconds; none without the header.
pub(super) fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let said = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    Some(
        said.parse::<u64>()
            .map_or(DATE_MS, |seconds| seconds.saturating_mul(1_000)),
    )
}

/// Whether the declared length of a message's body is at most `most` bytes.
pub(super) fn small_length(headers: &HeaderMap, most: usize) -> bool {
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    length.is_some_and(|length| length <= most)
}

#[cfg(test)]
mod tests;
