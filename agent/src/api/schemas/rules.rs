//! The schema of one value, by the name of its kind: `[Region]`, `{string}`, `region`, `limit`.
//!
//! What a request may hold is said exactly, so that whoever keeps to the schema is never answered
//! 400. Patterns are written for ECMA 262, as JSON Schema wants, and understood by other engines
//! too: no look-around, no classes of Unicode.

use crate::{
    api::{events::LIST_MAX, models::PROMOTION_WAIT_MAX_MS},
    cost::{
        answers::Format,
        questions::{DAYS_MAX, INTERVALS, LATENCY_MAX_MS, LISTED_MAX},
    },
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
const DAY: &str = "20[0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)\
                   |02-(0[1-9]|1[0-9]|2[0-8]))|20([02468][048]|[13579][26])-02-29";
/// What comes after a version's name that conflict resolution gave, without the region.
const CONFLICT: &str = r"\+conflict\.";

/// The schema of a value of this kind. A kind that is no rule and no type is the name of an object.
pub(in crate::api) fn of(kind: &str) -> Value {
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
        // Unix milliseconds, milliseconds, counts: none is negative, all fit 64 bits.
        "integer" | "time" | "age" => json!({ "type": "integer", "format": "int64", "minimum": 0 }),
        "condition" => json!({ "type": "string", "enum": Condition::ALL.map(Condition::as_str) }),
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
        // A name that is published: only conflict resolution gives the others.
        "new-version" => matching(1, VERSION_NAME_MAX, &word(VERSION_NAME_MAX)),
        "upload" => matching(16, 16, "[0-9a-f]{16}"),
        "file-path" => matching(1, FILE_PATH_MAX, &file_path()),
        "author" => matching(1, BY_MAX, &format!("[^{UNPRINTABLE_CLASS}]+")),
        "why" => text(WHY_MAX),
        "text" => text(TEXT_MAX),
        "metadata" => json!({
            "type": "object", "propertyNames": text(TEXT_MAX), "additionalProperties": text(TEXT_MAX),
            "maxProperties": METADATA_MAX,
        }),
        "assumed" => {
            json!({ "type": "object", "propertyNames": of("region"), "additionalProperties": of("condition") })
        }
        "for-ms" => {
            json!({ "type": "integer", "format": "int64", "minimum": FOR_MIN_MS, "maximum": FOR_MAX_MS })
        }
        "promotion-wait" => {
            json!({ "type": "integer", "format": "int64", "minimum": 0, "maximum": PROMOTION_WAIT_MAX_MS })
        }
        "limit" => json!({ "type": "integer", "minimum": 1, "maximum": LIST_MAX }),
        // The process, which may be left out, and the number of an event.
        "cursor" => matching(1, 36, r"([0-9a-f]{1,16}\.)?[0-9]{1,19}"),
        "kinds" => {
            json!({ "type": "string", "pattern": list(&EventKind::ALL.map(EventKind::as_str).join("|"), "*") })
        }
        "regions" => json!({ "type": "string", "pattern": list(LABEL, "*") }),
        "severity" => json!({ "type": "string", "enum": Severity::ALL.map(Severity::as_str) }),
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
        "table" => matching(0, crate::api::cost::TABLE_MAX, r"[^\u0000]*"),
        "source-name" => matching(1, 128, &format!("[^{UNPRINTABLE_CLASS}]+")),
        "currency" => matching(2, 8, "[A-Za-z0-9]{2,8}"),
        "alert-state" => json!({ "type": "string", "enum": ["firing", "ended", "all"] }),
        // A test asserts that no other kind is named.
        _ => json!({}),
    }
}

fn matching(shortest: usize, longest: usize, pattern: &str) -> Value {
    json!({ "type": "string", "minLength": shortest, "maxLength": longest, "pattern": format!("^{pattern}$") })
}

/// Free text: anything printable.
fn text(longest: usize) -> Value {
    matching(0, longest, &format!("[^{UNPRINTABLE_CLASS}]*"))
}

fn word(longest: usize) -> String {
    format!("[A-Za-z0-9][A-Za-z0-9._-]{{0,{}}}", longest - 1)
}

/// Words separated by commas, the first and `more`; none is all.
fn list(word: &str, more: &str) -> String {
    format!("^(({word})(,({word})){more})?$")
}

/// What a question about money is kept apart by, or narrowed to.
fn listed(word: &str) -> Value {
    let more = format!("{{0,{}}}", LISTED_MAX - 1);
    json!({ "type": "string", "maxLength": TEXT_MAX, "pattern": list(word, &more) })
}

/// A group of a report. A tag's key begins with no space: these may follow a comma.
fn group() -> String {
    let names = Group::NAMED.map(|(name, _)| name).join("|");
    format!("{names}|tag:[^ ,={UNPRINTABLE_CLASS}][^,={UNPRINTABLE_CLASS}]*")
}

/// Parts separated by `/`; none is `.` or `..`, none begins or ends with a space.
fn file_path() -> String {
    let letter = "[A-Za-z0-9_+@=,()!&'$;:-]";
    let any = "[A-Za-z0-9._+@=,()!&'$;: -]";
    let end = "[A-Za-z0-9._+@=,()!&'$;:-]";
    let word = format!("{letter}({any}*{end})?");
    let part = format!("({word}|\\.({word}|[. ]{any}*{end}))");

    format!("{part}(/{part})*")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::{prelude::*, string::string_regex};
    use regionmesh_protocol::{
        identity::RegionName,
        models::manifest::{ModelName, VersionName, check_file_path},
    };

    /// Texts that a rule admits.
    fn admitted(rule: &str) -> BoxedStrategy<String> {
        let schema = of(rule);
        let longest = schema["maxLength"].as_u64().unwrap() as usize;
        let pattern = schema["pattern"]
            .as_str()
            .unwrap()
            .trim_start_matches('^')
            .trim_end_matches('$')
            .to_owned();

        string_regex(&pattern)
            .unwrap()
            .prop_filter("longer than allowed", move |text| text.len() <= longest)
            .boxed()
    }

    proptest! {
        #[test]
        fn what_a_rule_admits_is_taken(
            region in admitted("region"),
            model in admitted("model"),
            version in admitted("version"),
            new in admitted("new-version"),
            path in admitted("file-path"),
            cursor in admitted("cursor"),
        ) {
            prop_assert!(region.parse::<RegionName>().is_ok(), "{region}");
            prop_assert!(model.parse::<ModelName>().is_ok(), "{model}");
            prop_assert!(version.parse::<VersionName>().is_ok(), "{version}");
            prop_assert!(
                new.parse::<VersionName>()
                    .is_ok_and(|name| !name.is_conflict()),
                "{new}"
            );

            prop_assert!(
                check_file_path(&path).is_ok(),
                "{path:?}: {:?}",
                check_file_path(&path)
            );

            prop_assert!(cursor.parse::<crate::events::Cursor>().is_ok(), "{cursor}");
        }

        #[test]
        fn texts_that_a_rule_admits_are_printable(
            text in string_regex(&format!("[^{UNPRINTABLE_CLASS}]{{0,40}}")).unwrap(),
        ) {
            prop_assert_eq!(regionmesh_protocol::text::unprintable(&text), None);
        }
    }
}
