#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use serde_json::json;

fn expected(name: &str, data: Value) -> InferenceConfig {
    serde_json::from_value(
        json!({ "model": "m", "request": "{}", "expect": { name: data }, "tolerance": 0.01 }),
    )
    .unwrap()
}

fn compared(outputs: Value, wanted: Value) -> Result<(), String> {
    compare(
        json!({ "outputs": outputs }).to_string().as_bytes(),
        &expected("p", wanted),
    )
}

#[test]
fn numbers_may_differ_within_the_tolerance_and_all_else_must_match() {
    assert_eq!(
        compared(
            json!([{ "name": "p", "data": [[0.5, 1]] }]),
            json!([0.505, 1.0])
        ),
        Ok(())
    );

    assert_eq!(
        compared(json!([{ "name": "p", "data": ["cat"] }]), json!(["cat"])),
        Ok(())
    );

    let wrong = compared(
        json!([{ "name": "p", "data": [0.5, 0.9] }]),
        json!([0.5, 0.1]),
    )
    .unwrap_err();

    assert_eq!(wrong, "output p[1] is 0.9, 0.1 is expected");
    let wrong = compared(json!([{ "name": "p", "data": ["dog"] }]), json!(["cat"])).unwrap_err();
    assert_eq!(wrong, "output p[0] is \"dog\", \"cat\" is expected");
}

#[test]
fn missing_outputs_and_values_are_named() {
    for (body, wanted) in [
        ("<html>", "not JSON"),
        ("{}", "no outputs"),
        ("{\"outputs\":[]}", "no output p"),
        ("{\"outputs\":[{\"name\":\"p\"}]}", "no data"),
        (
            "{\"outputs\":[{\"name\":\"p\",\"data\":[1,2]}]}",
            "2 values, 1 are expected",
        ),
        (
            "{\"outputs\":[{\"name\":\"p\",\"data\":[null]}]}",
            "p[0] is null",
        ),
    ] {
        let error = compare(body.as_bytes(), &expected("p", json!([1.0]))).unwrap_err();
        assert!(error.contains(wanted), "{body}: {error}");
    }

    let deep = "[".repeat(100_000);
    assert!(compare(deep.as_bytes(), &expected("p", json!([1.0]))).is_err());
}
