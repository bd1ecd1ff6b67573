//! Faults of form: unknown and missing fields, values of the wrong type or out of range.
//!
//! The document is compared with the schema of its type, which finds all of them in one pass.
//! Grammars of texts are checked by the types that read them.

use super::schema::Node;
use ipnet::IpNet;
use regionmesh_cost::Currency;
use regionmesh_protocol::identity::{AgentName, MeshName, RegionName};
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};
use toml::{Table, Value};

/// Limit on reported faults.
const FAULTS_MAX: usize = 50;
/// Longest text that is quoted, characters.
const QUOTED_MAX: usize = 60;

/// Why a text does not have a grammar; none if it has.
type Grammar = fn(&str) -> Option<String>;

const GRAMMARS: [(&str, Grammar); 7] = [
    ("agent-name", refusal::<AgentName>),
    ("currency", refusal::<Currency>),
    ("ip", quoting_refusal::<IpAddr>),
    ("mesh-name", refusal::<MeshName>),
    ("network", quoting_refusal::<IpNet>),
    ("region-name", refusal::<RegionName>),
    ("socket-address", quoting_refusal::<SocketAddr>),
];

fn refusal<T: FromStr<Err: fmt::Display>>(text: &str) -> Option<String> {
    text.parse::<T>().err().map(|error| error.to_string())
}

/// For types whose errors do not quote the text.
fn quoting_refusal<T: FromStr<Err: fmt::Display>>(text: &str) -> Option<String> {
    refusal::<T>(text).map(|error| format!("{error}: {}", quoted(text)))
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The path of the value: `regions[0].name`. For an unknown or missing field that of its table,
    /// which is empty for the document itself.
    pub(super) path: String,
    pub(super) message: String,
}

impl Fault {
    /// The field of the document that the fault is in.
    pub(super) fn table(&self) -> String {
        let end = self.path.find(['.', '[']).unwrap_or(self.path.len());
        self.path[..end].to_owned()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// The faults of a document; the first [`FAULTS_MAX`] of them.
pub(super) fn faults(document: &Table, schema: Node<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    check_table("", schema, document, &mut faults);
    faults.truncate(FAULTS_MAX);
    faults
}

fn check_table(path: &str, schema: Node<'_>, fields: &Table, faults: &mut Vec<Fault>) {
    let fault = |message: String| Fault {
        path: path.to_owned(),
        message,
    };

    for (name, value) in fields {
        let place = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };

        match schema.property(name).or(schema.entries()) {
            Some(field) => check(&place, field, value, faults),
            None if schema.is_closed() => {
                let known = schema.properties().map(|(known, _)| format!("`{known}`"));
                let known = known.collect::<Vec<_>>().join(", ");
                faults.push(fault(format!(
                    "unknown field `{name}`, expected one of {known}"
                )));
            }
            None => {}
        }
    }

    let missing = schema.required().filter(|name| !fields.contains_key(*name));
    faults.extend(missing.map(|name| fault(format!("missing field `{name}`"))));
}

fn check(path: &str, schema: Node<'_>, value: &Value, faults: &mut Vec<Fault>) {
    let variants = schema.variants();
    match (value, schema.items()) {
        _ if !variants.is_empty() => check_variants(path, &variants, value, faults),
        (Value::Table(fields), _) if schema.has_type("object") => {
            check_table(path, schema, fields, faults)
        }
        (Value::Array(items), Some(schema)) => {
            for (index, item) in items.iter().enumerate() {
                check(&format!("{path}[{index}]"), schema, item, faults);
            }
        }
        _ => faults.extend(scalar_fault(schema, value).map(|message| Fault {
            path: path.to_owned(),
            message,
        })),
    }
}

fn scalar_fault(schema: Node<'_>, value: &Value) -> Option<String> {
    let is_number = schema.has_type("number");
    match value {
        Value::String(text) if schema.has_type("string") => grammar_fault(schema, text),
        Value::Integer(number) if is_number || schema.has_type("integer") => {
            range_fault(schema, *number as f64)
        }
        Value::Float(number) if is_number && number.is_finite() => range_fault(schema, *number),
        Value::Boolean(_) if schema.has_type("boolean") => None,
        Value::Array(_) if schema.has_type("array") => None,
        _ => Some(format!(
            "expected {}, got {}",
            expected(schema),
            shown(value)
        )),
    }
}

/// The value must be a variant's text, or a table that fits the variant with that field.
fn check_variants(path: &str, variants: &[Node<'_>], value: &Value, faults: &mut Vec<Fault>) {
    let mut constants = variants.iter().flat_map(|variant| variant.constants());
    if value
        .as_str()
        .is_some_and(|text| constants.any(|constant| constant == text))
    {
        return;
    }

    if let Value::Table(fields) = value {
        let fits = |variant: &&Node<'_>| fields.keys().any(|name| variant.property(name).is_some());
        if let Some(variant) = variants.iter().find(fits) {
            return check_table(path, *variant, fields, faults);
        }
    }

    let texts = variants.iter().flat_map(|variant| {
        let constants = variant.constants().map(|constant| format!("{constant:?}"));
        let tables = variant
            .properties()
            .map(|(name, _)| format!("{{ {name} = … }}"));
        constants.chain(tables)
    });
    let texts = texts.collect::<Vec<_>>().join(", ");

    faults.push(Fault {
        path: path.to_owned(),
        message: format!("expected one of {texts}, got {}", shown(value)),
    });
}

fn grammar_fault(schema: Node<'_>, text: &str) -> Option<String> {
    let format = schema.format()?;
    let (_, refusal) = GRAMMARS.iter().find(|(name, _)| *name == format)?;
    refusal(text)
}

fn range_fault(schema: Node<'_>, number: f64) -> Option<String> {
    let (least, most) = schema.range();
    let is_low = least.is_some_and(|least| number < least);
    let is_high = most.is_some_and(|most| number > most);
    if !is_low && !is_high {
        return None;
    }

    Some(match (least, most) {
        (Some(least), Some(most)) => format!("{number} is not within {least} to {most}"),
        (Some(least), None) => format!("{number} is less than {least}"),
        (None, Some(most)) => format!("{number} is more than {most}"),
        (None, None) => return None,
    })
}

/// What a schema accepts, in words.
fn expected(schema: Node<'_>) -> &'static str {
    const WORDS: [(&str, &str); 5] = [
        ("string", "a string"),
        ("integer", "an integer"),
        ("number", "a number"),
        ("boolean", "true or false"),
        ("array", "an array"),
    ];

    let found = WORDS.iter().find(|(name, _)| schema.has_type(name));
    found.map_or("a table", |(_, words)| words)
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(_) => "an array".into(),
        Value::Table(_) => "a table".into(),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_MAX) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

#[cfg(test)]
mod tests;
