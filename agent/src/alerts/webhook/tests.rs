#![allow(clippy::unwrap_used)]

use super::*;
use crate::events::tests::event;
use regionmesh_protocol::event::EventKind;

#[test]
fn a_message_is_signed_with_its_time() {
    // By: printf '%s' '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
    let expected = "sha256=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03";
    assert_eq!(signature("key", "1700000000", b"{\"a\":1}"), expected);
}

#[test]
fn every_agent_makes_the_same_body_of_an_event() {
    let verdict = event(7, EventKind::Verdict, "eu-west-1");
    let text = String::from_utf8(body("m", &verdict).unwrap()).unwrap();
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&text).unwrap(),
        json!({
            "mesh": "m",
            "id": "verdict:7",
            "kind": "verdict",
            "severity": "critical",
            "time_ms": 7,
            "region": "eu-west-1",
            "text": "event 7 of eu-west-1",
            "fields": { "number": "7" },
            "reported_by": null,
        })
    );
}
