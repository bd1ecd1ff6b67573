//! Whether the answer to a synthetic inference is the expected one, and if not, what differs. Pure.

use crate::config::InferenceConfig;
use regionmesh_protocol::text::is_unprintable;
use serde_json::Value;

/// Longest piece of an answer that is quoted, characters.
const QUOTE_MAX: usize = 40;

/// Compares an answer's body with what is expected; the error names the first thing that differs.
pub(super) fn compare(body: &[u8], expected: &InferenceConfig) -> Result<(), String> {
    let answer: Value = serde_json::from_slice(body)
        .map_err(|error| format!("the inference's answer is not JSON: {error}"))?;
    let outputs = answer
        .get("outputs")
        .and_then(Value::as_array)
        .ok_or("the inference's answer has no outputs")?;

    for (name, wanted) in &expected.expect {
        let named = |output: &&Value| output.get("name").and_then(Value::as_str) == Some(name);
        let output = outputs
            .iter()
            .find(named)
            .ok_or_else(|| format!("the inference has no output {name}"))?;
        let data = output
            .get("data")
            .ok_or_else(|| format!("output {name} has no data"))?;
        let mut found = Vec::new();

        flatten(data, &mut found);
        if found.len() != wanted.len() {
            return Err(format!(
                "output {name} has {} values, {} are expected",
                found.len(),
                wanted.len()
            ));
        }

        let mut pairs = found.iter().zip(wanted).enumerate();
        if let Some((index, (found, wanted))) =
            pairs.find(|(_, (found, wanted))| !is_same(found, wanted, expected.tolerance))
        {
            return Err(format!(
                "output {name}[{index}] is {}, {} is expected",
                quote(found),
                quote(wanted)
            ));
        }
    }

    Ok(())
}

/// Some servers nest the data by the tensor's shape; serde_json bounds the depth.
fn flatten<'a>(data: &'a Value, into: &mut Vec<&'a Value>) {
    match data {
        Value::Array(parts) => parts.iter().for_each(|part| flatten(part, into)),
        value => into.push(value),
    }
}

fn is_same(found: &Value, wanted: &Value, tolerance: f64) -> bool {
    match (found.as_f64(), wanted.as_f64()) {
        // Not a number of any kind differs from everything, also with an infinite difference.
        (Some(found), Some(wanted)) => (found - wanted).abs() <= tolerance,
        _ => found == wanted,
    }
}

fn quote(value: &Value) -> String {
    value
        .to_string()
        .chars()
        .filter(|c| !is_unprintable(*c))
        .take(QUOTE_MAX)
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
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
    fn numbers_may_be_off_by_the_tolerance_and_all_else_by_nothing() {
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
        let wrong =
            compared(json!([{ "name": "p", "data": ["dog"] }]), json!(["cat"])).unwrap_err();
        assert_eq!(wrong, "output p[0] is \"dog\", \"cat\" is expected");
    }

    #[test]
    fn what_is_missing_is_named() {
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
}
