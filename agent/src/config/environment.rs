//! `${NAME}` in strings of a configuration: values known only at run time, such as a pod's name and
//! address.
//!
//! So one file works for every agent of a region. Only strings are expanded, and an unset or empty
//! variable is a fault: an empty name would be wrong silently. `$${` stands for a literal `${`.

use super::form::Fault;
use toml::{Table, Value};

const OPEN: &str = "${";

/// Expands the variables in every string of the document. Returns a fault for each string that
/// could not be expanded.
pub(super) fn fill(document: &mut Table, lookup: &impl Fn(&str) -> Option<String>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (key, value) in document.iter_mut() {
        visit(value, key.clone(), lookup, &mut faults);
    }
    faults
}

fn visit(
    value: &mut Value,
    path: String,
    lookup: &impl Fn(&str) -> Option<String>,
    faults: &mut Vec<Fault>,
) {
    match value {
        Value::String(text) => match expand(text, lookup) {
            Ok(expanded) => *text = expanded,
            Err(message) => faults.push(Fault { path, message }),
        },
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                visit(item, format!("{path}[{index}]"), lookup, faults);
            }
        }
        Value::Table(table) => {
            for (key, item) in table.iter_mut() {
                visit(item, format!("{path}.{key}"), lookup, faults);
            }
        }
        _ => {}
    }
}

/// The text with each `${NAME}` replaced. Values are not expanded again.
fn expand(text: &str, lookup: &impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(OPEN) {
        let before = &rest[..at];
        let after = &rest[at + OPEN.len()..];
        if let Some(before) = before.strip_suffix('$') {
            expanded += before;
            expanded += OPEN;
            rest = after;
            continue;
        }

        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| format!("{text:?} has a ${{ without its }}"))?;
        let is_name = !name.is_empty()
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == '_');

        if !is_name {
            return Err(format!(
                "${{{name}}} is not the name of a variable; write $${{ where ${{ itself is meant"
            ));
        }

        let value = lookup(name).filter(|value| !value.is_empty());
        expanded += before;
        expanded += &value
            .ok_or_else(|| format!("the environment has no variable {name}, or an empty one"))?;
        rest = after;
    }

    expanded += rest;
    Ok(expanded)
}

#[cfg(test)]
mod tests;
