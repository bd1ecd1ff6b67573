//! Schemas of the parameters of paths, queries and headers. A request that conforms to them is
//! never answered 400; see [`regionmesh_protocol::schema`].

#[cfg(test)]
mod tests;

use super::route::schema;
use crate::cost::questions::{DAYS_MAX, LATENCY_MAX_MS, LISTED_MAX};
use regionmesh_cost::Group;
use regionmesh_protocol::{
    event::EventKind,
    identity::RegionName,
    models::manifest::{ModelName, TEXT_MAX, VersionName},
    schema::{LABEL, matching, printable},
    text::UNPRINTABLE_CLASS,
};
use schemars::{Schema, SchemaGenerator, json_schema};

/// Largest and default number of events in a list.
pub(crate) const LIST_MAX: usize = 1_000;
/// Longest name of a source of bills, characters.
pub(crate) const SOURCE_NAME_MAX: usize = 128;

/// The schema of the parameter of a path.
pub(crate) fn in_path(name: &str, generator: &mut SchemaGenerator) -> Schema {
    match name {
        "region" => schema::<RegionName>(generator),
        "model" => schema::<ModelName>(generator),
        "version" => schema::<VersionName>(generator),
        "upload" => matching(16, 16, "[0-9a-f]{16}"),
        // A test asserts that paths name no other.
        _ => Schema::default(),
    }
}

/// The process, which is optional, and the number of an event.
pub(crate) fn cursor(_: &mut SchemaGenerator) -> Schema {
    matching(1, 36, r"([0-9a-f]{1,16}\.)?[0-9]{1,19}")
}

/// Length of a list.
pub(crate) fn limit(_: &mut SchemaGenerator) -> Schema {
    integer(1, LIST_MAX)
}

pub(crate) fn event_kinds(_: &mut SchemaGenerator) -> Schema {
    let kinds = EventKind::ALL.iter().map(|kind| kind.as_str());
    let kinds = kinds.collect::<Vec<_>>().join("|");
    json_schema!({ "type": "string", "pattern": list(&kinds, "*") })
}

pub(crate) fn regions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": list(LABEL, "*") })
}

pub(crate) fn alert_state(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["firing", "ended", "all"] })
}

/// The groups of a cost query.
pub(crate) fn groups(_: &mut SchemaGenerator) -> Schema {
    listed(&group())
}

/// The filters of a cost query. A backslash makes a comma, or another backslash, part of the value.
pub(crate) fn filters(_: &mut SchemaGenerator) -> Schema {
    listed(&format!(
        r"({})=(\\[,\\]|\\?[^,\\{UNPRINTABLE_CLASS}])*\\?",
        group()
    ))
}

pub(crate) fn days(_: &mut SchemaGenerator) -> Schema {
    integer(1, DAYS_MAX.into())
}

/// A number of regions that may fail.
pub(crate) fn survive(_: &mut SchemaGenerator) -> Schema {
    integer(0, 1)
}

/// Milliseconds.
pub(crate) fn latency(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "number", "exclusiveMinimum": 0, "maximum": LATENCY_MAX_MS })
}

/// A source of bills.
pub(crate) fn source_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": SOURCE_NAME_MAX,
        "pattern": printable("+"),
    })
}

pub(crate) fn currency(_: &mut SchemaGenerator) -> Schema {
    matching(2, 8, "[A-Za-z0-9]{2,8}")
}

fn integer(least: usize, most: usize) -> Schema {
    json_schema!({ "type": "integer", "minimum": least, "maximum": most })
}

/// Words separated by commas; `more` is the quantifier of those after the first. May be empty.
fn list(word: &str, more: &str) -> String {
    format!("^(({word})(,({word})){more})?$")
}

fn listed(word: &str) -> Schema {
    let more = format!("{{0,{}}}", LISTED_MAX - 1);
    json_schema!({ "type": "string", "maxLength": TEXT_MAX, "pattern": list(word, &more) })
}

/// A group of a report. A tag's key does not start with a space: spaces may follow a comma.
fn group() -> String {
    let names = Group::NAMED.map(|(name, _)| name).join("|");
    format!("{names}|tag:[^ ,={UNPRINTABLE_CLASS}][^,={UNPRINTABLE_CLASS}]*")
}
