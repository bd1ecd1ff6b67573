//! Compares the answer to a synthetic inference with the expected one. Pure.

use crate::config::InferenceConfig;
use regionmesh_protocol::text::is_unprintable;
use serde_json::Value;

/// Limit on the quoted part of an answer, characters.
const QUOTE_MAX: usize = 40;

/// Compares an answer's body with the expected outputs; the error names the first difference.
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
        // NaN and infinite differences never match.
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
mod tests;
