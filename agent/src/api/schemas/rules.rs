//! The schema of one value, by the name of its kind: `[Region]`, `{string}`, `region`, `limit`.
//!
//! The rules for requests are exact: a request that conforms to its schema is never answered 400.
//! Patterns follow ECMA 262, as JSON Schema requires, and avoid look-around and Unicode classes,
//! which other engines may lack.

#[cfg(test)]
mod tests;

use super::super::{cost::TABLE_MAX, events::LIST_MAX, models::promotion::PROMOTION_WAIT_MAX_MS};
use crate::cost::{
    answers::Format,
    questions::{DAYS_MAX, INTERVALS, LATENCY_MAX_MS, LISTED_MAX},
};
use regionmesh_cost::{BaselineName, Group, Metric};
use regionmesh_protocol::{
    event::{EventKind, Severity},
    identity::NAME_MAX,
    models::manifest::{FILE_PATH_MAX, METADATA_MAX, MODEL_NAME_MAX, TEXT_MAX, VERSION_NAME_MAX},
    plan::{BY_MAX, FOR_MAX_MS, FOR_MIN_MS, WHY_MAX},
    status::condition::Condition,
    text::UNPRINTABLE_CLASS,
};
use serde_json::{Value, json};

/// A region's name: one label of a domain name.
const LABEL: &str = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
/// A day of this century.
const DAY: &str = "20[0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])\
                   |(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))\
                   |20([02468][048]|[13579][26])-02-29";
/// The suffix, without the region, of a version that conflict resolution renamed.
const CONFLICT: &str = r"\+conflict\.";

/// The schema of a value of this kind. A capitalised kind is the name of an object.
pub(crate) fn of(kind: &str) -> Value {
    if let Some(item) = kind
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        return json!({ "type": "array", "items": of(item) });
    }

    if let Some(value) = kind
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    {
        return json!({ "type": "object", "additionalProperties": of(value) });
    }

    match kind {
        "string" | "boolean" | "number" | "object" => json!({ "type": kind }),
        // Unix milliseconds, milliseconds, counts: not negative, within 64 bits.
        "integer" | "time" | "age" => json!({ "type": "integer", "format": "int64", "minimum": 0 }),
        "condition" => json!({ "type": "string", "enum": Condition::ALL }),
        object if object.starts_with(char::is_uppercase) => {
            json!({ "$ref": format!("#/components/schemas/{object}") })
        }
        rule => request(rule),
    }
}

/// A value of a request.
fn request(rule: &str) -> Value {
    match rule {
        "region" => matching(1, NAME_MAX, LABEL),
        "model" => matching(1, MODEL_NAME_MAX, &word(MODEL_NAME_MAX)),
        "version" => {
            let given = format!(
                "{}({CONFLICT}{LABEL}(\\.[0-9a-f]{{8}})?)?",
                word(VERSION_NAME_MAX)
            );

            matching(
                1,
                VERSION_NAME_MAX + "+conflict.".len() + NAME_MAX + ".01234567".len(),
                &given,
            )
        }
        // Publishers may not choose the names that conflict resolution gives.
        "new-version" => matching(1, VERSION_NAME_MAX, &word(VERSION_NAME_MAX)),
        "upload" => matching(16, 16, "[0-9a-f]{16}"),
        "file-path" => matching(1, FILE_PATH_MAX, &file_path()),
        "author" => matching(1, BY_MAX, &format!("[^{UNPRINTABLE_CLASS}]+")),
        "why" => text(WHY_MAX),
        "text" => text(TEXT_MAX),
        "metadata" => json!({
            "type": "object", "maxProperties": METADATA_MAX,
            "propertyNames": text(TEXT_MAX), "additionalProperties": text(TEXT_MAX),
        }),
        "assumed" => json!({
            "type": "object", "propertyNames": of("region"),
            "additionalProperties": of("condition"),
        }),
        "for-ms" => millis(FOR_MIN_MS, FOR_MAX_MS),
        "promotion-wait" => millis(0, PROMOTION_WAIT_MAX_MS),
        "limit" => json!({ "type": "integer", "minimum": 1, "maximum": LIST_MAX }),
        // The process, which is optional, and the number of an event.
        "cursor" => matching(1, 36, r"([0-9a-f]{1,16}\.)?[0-9]{1,19}"),
        "kinds" => {
            let kinds = <EventKind as strum::VariantNames>::VARIANTS.join("|");
            json!({ "type": "string", "pattern": list(&kinds, "*") })
        }
        "regions" => json!({ "type": "string", "pattern": list(LABEL, "*") }),
        "severity" => json!({ "type": "string", "enum": Severity::ALL }),
        "day" => matching(10, 10, &format!("({DAY})")),
        "groups" => listed(&group()),
        // A backslash makes a comma, or another backslash, part of the value.
        "filters" => listed(&format!(
            r"({})=(\\[,\\]|\\?[^,\\{UNPRINTABLE_CLASS}])*\\?",
            group()
        )),
        "metric" => json!({ "type": "string", "enum": Metric::ALL.map(Metric::as_str) }),
        "interval" => json!({ "type": "string", "enum": INTERVALS.map(|(name, _)| name) }),
        "baseline" => {
            json!({ "type": "string", "enum": BaselineName::ALL.map(BaselineName::as_str) })
        }
        "cost-format" => json!({ "type": "string", "enum": Format::ALL.map(Format::as_str) }),
        "days" => json!({ "type": "integer", "minimum": 1, "maximum": DAYS_MAX }),
        "survive" => json!({ "type": "integer", "minimum": 0, "maximum": 1 }),
        "latency" => json!({ "type": "number", "exclusiveMinimum": 0, "maximum": LATENCY_MAX_MS }),
        "table" => matching(0, TABLE_MAX, r"[^\u0000]*"),
        "source-name" => matching(1, 128, &format!("[^{UNPRINTABLE_CLASS}]+")),
        "currency" => matching(2, 8, "[A-Za-z0-9]{2,8}"),
        "alert-state" => json!({ "type": "string", "enum": ["firing", "ended", "all"] }),
        // A test asserts that no other kind is named.
        _ => json!({}),
    }
}

fn matching(shortest: usize, longest: usize, pattern: &str) -> Value {
    json!({
        "type": "string", "minLength": shortest, "maxLength": longest,
        "pattern": format!("^{pattern}$"),
    })
}

fn millis(shortest: u64, longest: u64) -> Value {
    json!({ "type": "integer", "format": "int64", "minimum": shortest, "maximum": longest })
}

/// Free text: anything printable.
fn text(longest: usize) -> Value {
    matching(0, longest, &format!("[^{UNPRINTABLE_CLASS}]*"))
}

fn word(longest: usize) -> String {
    format!("[A-Za-z0-9][A-Za-z0-9._-]{{0,{}}}", longest - 1)
}

/// Words separated by commas; `more` is the quantifier of those after the first. May be empty.
fn list(word: &str, more: &str) -> String {
    format!("^(({word})(,({word})){more})?$")
}

/// The groups or the filters of a cost query.
fn listed(word: &str) -> Value {
    let more = format!("{{0,{}}}", LISTED_MAX - 1);
    json!({ "type": "string", "maxLength": TEXT_MAX, "pattern": list(word, &more) })
}

/// A group of a report. A tag's key does not start with a space: spaces may follow a comma.
fn group() -> String {
    let names = Group::NAMED.map(|(name, _)| name).join("|");
    format!("{names}|tag:[^ ,={UNPRINTABLE_CLASS}][^,={UNPRINTABLE_CLASS}]*")
}

/// Parts separated by `/`; no part is `.` or `..`, or starts or ends with a space.
fn file_path() -> String {
    let letter = "[A-Za-z0-9_+@=,()!&'$;:-]";
    let any = "[A-Za-z0-9._+@=,()!&'$;: -]";
    let end = "[A-Za-z0-9._+@=,()!&'$;:-]";
    let word = format!("{letter}({any}*{end})?");
    let part = format!("({word}|\\.({word}|[. ]{any}*{end}))");

    format!("{part}(/{part})*")
}
