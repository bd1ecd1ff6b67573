//! What of a message's head concerns a proxy.

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
/// What a `Retry-After` counts for that is a date: no server of models writes one.
const DATE_MS: u64 = 1_000;

/// Removes what concerns the connection that a message came on.
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

/// When a region wants to be asked again, milliseconds; none if it says nothing about that.
pub(super) fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let said = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    Some(
        said.parse::<u64>()
            .map_or(DATE_MS, |seconds| seconds.saturating_mul(1_000)),
    )
}

/// Whether a message says that its body has at most `most` bytes.
pub(super) fn small_length(headers: &HeaderMap, most: usize) -> bool {
    let length = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    length.is_some_and(|length| length <= most)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        pairs.collect()
    }

    #[test]
    fn what_concerns_the_connection_goes_and_all_else_stays() {
        let mut message = headers(&[
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("x-regionmesh-region", "eu-west-1"),
            ("content-length", "12"),
        ]);

        strip_hop_by_hop(&mut message);
        assert_eq!(
            message,
            headers(&[
                ("x-regionmesh-region", "eu-west-1"),
                ("content-length", "12")
            ])
        );
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(
            retry_after_ms(&headers(&[("retry-after", "3")])),
            Some(3_000)
        );

        assert_eq!(
            retry_after_ms(&headers(&[(
                "retry-after",
                "Fri, 31 Dec 1999 23:59:59 GMT"
            )])),
            Some(DATE_MS)
        );

        assert_eq!(retry_after_ms(&headers(&[])), None);
    }

    #[test]
    fn only_a_declared_length_is_small() {
        assert!(small_length(&headers(&[("content-length", "64")]), 64));
        assert!(!small_length(&headers(&[("content-length", "65")]), 64));
        assert!(!small_length(&headers(&[]), 64));
    }
}
