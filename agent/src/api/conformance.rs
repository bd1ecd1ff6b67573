//! Whether values are what the OpenAPI document says, field by field and both ways.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::{openapi, routes::ROUTES};
use serde_json::Value;
use std::sync::LazyLock;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| openapi::build(ROUTES));

/// Asserts that a value is what a schema of the document says.
pub(crate) fn assert_conforms(schema: &Value, value: &Value, at: &str) {
    if let Err(fault) = check(schema, value, at) {
        panic!("{fault}");
    }
}

/// Asserts that this may be the answer to a request with this method and path.
pub(crate) fn assert_answers(method: &str, path: &str, status: &str, answer: &Value) {
    let path = path.split('?').next().unwrap_or_default();
    let Some(route) = ROUTES
        .iter()
        .filter(|route| route.method == method)
        .find(|route| matches(route.path, path))
    else {
        return;
    };

    let responses = &DOCUMENT["paths"][route.path][method]["responses"];
    let described = &responses[status];
    let at = format!("{method} {path} answered {status}");
    assert!(described.is_object(), "{at}, which is not described");

    let content = &described["content"]["application/json"];
    assert_conforms(&content["schema"], answer, &at);
}

/// Whether a path is one of a route, whose parameters are in braces.
fn matches(route: &str, path: &str) -> bool {
    let parts: Vec<_> = path.split('/').collect();
    let named: Vec<_> = route.split('/').collect();
    let is_same = |(name, part): (&&str, &&str)| name.starts_with('{') || name == part;

    parts.len() == named.len() && named.iter().zip(&parts).all(is_same)
}

/// Keywords that [`check`] knows. It leaves the patterns and formats of texts to their types.
const KEYWORDS: &str = "$ref anyOf oneOf type enum const items prefixItems minItems maxItems \
    uniqueItems required properties additionalProperties minimum maximum minLength maxLength \
    pattern format description";

/// Whether a value is what its schema says, field by field and both ways.
fn check(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    for keyword in schema.as_object().unwrap().keys() {
        let is_known = KEYWORDS.split(' ').any(|known| known == keyword);
        assert!(is_known, "{at}: what is {keyword}?");
    }

    if let Some(reference) = schema["$ref"].as_str() {
        let target = DOCUMENT.pointer(reference.strip_prefix('#').unwrap());
        let target = target.unwrap_or_else(|| panic!("{reference} leads nowhere"));
        return check(target, value, at);
    }

    if let Some(choices) = schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        let faults: Vec<_> = choices
            .iter()
            .map_while(|choice| check(choice, value, at).err())
            .collect();
        let is_any = faults.len() < choices.len();
        return is_any.then_some(()).ok_or_else(|| faults.join("; or "));
    }

    check_value(schema, value, at)?;
    check_items(schema, value, at)?;
    check_fields(schema, value, at)
}

/// A value without what is in it.
fn check_value(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let is_a = |kind: &Value| match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        other => panic!("{at}: what is a {other}?"),
    };
    let kind = &schema["type"];
    let is_right = match kind.as_array() {
        Some(kinds) => kinds.iter().any(is_a),
        None => is_a(kind),
    };

    let is_listed = schema["enum"]
        .as_array()
        .is_none_or(|all| all.contains(value));
    let is_constant = schema.get("const").is_none_or(|only| only == value);
    let number = value.as_f64().unwrap_or_default();
    let length = value.as_str().unwrap_or_default().chars().count() as u64;
    let is_within = !value.is_number()
        || schema["minimum"]
            .as_f64()
            .is_none_or(|least| number >= least)
            && schema["maximum"].as_f64().is_none_or(|most| number <= most);
    let is_as_long = !value.is_string()
        || schema["minLength"]
            .as_u64()
            .is_none_or(|least| length >= least)
            && schema["maxLength"]
                .as_u64()
                .is_none_or(|most| length <= most);

    let is_it = is_right && is_listed && is_constant && is_within && is_as_long;
    is_it
        .then_some(())
        .ok_or_else(|| format!("{at} is {value}, which is not {schema}"))
}

fn check_items(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        let described = schema["prefixItems"].get(index).unwrap_or(&schema["items"]);
        check(described, item, &format!("{at}[{index}]"))?;
    }

    Ok(())
}

fn check_fields(schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let Some(fields) = value.as_object() else {
        return Ok(());
    };

    for name in schema["required"].as_array().into_iter().flatten() {
        if !fields.contains_key(name.as_str().unwrap()) {
            return Err(format!("{at}: no {name} in {value}"));
        }
    }

    for (name, field) in fields {
        let at = format!("{at}.{name}");
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Bool(false)) => return Err(format!("{at} is not described")),
            // The document itself: described no further.
            (Value::Null, Value::Null) => {}
            (Value::Null, others) => check(others, field, &at)?,
            (described, _) => check(described, field, &at)?,
        }
    }

    Ok(())
}
