#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let pairs = lines
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
    pairs.collect()
}

#[test]
fn hop_by_hop_headers_are_removed_and_all_others_stay() {
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
fn only_a_declared_length_counts_as_small() {
    assert!(small_length(&headers(&[("content-length", "64")]), 64));
    assert!(!small_length(&headers(&[("content-length", "65")]), 64));
    assert!(!small_length(&headers(&[]), 64));
}
