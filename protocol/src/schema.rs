//! JSON Schemas of the names and texts that requests hold.
//!
//! They are exact: a request that conforms to its schema is never answered 400. Patterns follow
//! ECMA 262, as JSON Schema requires, and avoid look-around and Unicode classes, which other
//! engines may lack.

use crate::{
    identity::{AgentName, MESH_NAME_MAX, MeshName, NAME_MAX, RegionName},
    models::manifest::{FILE_PATH_MAX, MODEL_NAME_MAX, ModelName, VERSION_NAME_MAX, VersionName},
    text::UNPRINTABLE_CLASS,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use std::borrow::Cow;

/// A region's name: one label of a domain name.
pub const LABEL: &str = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
/// A day of this century.
const DAY: &str = "(20[0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])\
                   |(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))\
                   |20([02468][048]|[13579][26])-02-29)";

/// A text of `shortest` to `longest` characters that `pattern` matches as a whole.
pub fn matching(shortest: usize, longest: usize, pattern: &str) -> Schema {
    json_schema!({
        "type": "string", "minLength": shortest, "maxLength": longest,
        "pattern": format!("^{pattern}$"),
    })
}

/// The pattern of printable text; `quantifier` is `*`, or `+` for text that must not be empty.
pub fn printable(quantifier: &str) -> String {
    format!("^[^{UNPRINTABLE_CLASS}]{quantifier}$")
}

/// Free text of at most `longest` characters: anything printable.
pub fn text(longest: usize) -> Schema {
    json_schema!({ "type": "string", "maxLength": longest, "pattern": printable("*") })
}

/// A day of this century: `2026-09-18`.
pub fn day(_: &mut SchemaGenerator) -> Schema {
    matching(10, 10, DAY)
}

/// The name of a version that is published, or of an alias: publishers may not choose the names
/// that conflict resolution gives.
pub fn new_version(_: &mut SchemaGenerator) -> Schema {
    matching(1, VERSION_NAME_MAX, &word(VERSION_NAME_MAX))
}

/// The path of a file below its version's folder: parts separated by `/`; no part is `.` or `..`,
/// or starts or ends with a space.
pub fn file_path(_: &mut SchemaGenerator) -> Schema {
    let letter = "[A-Za-z0-9_+@=,()!&'$;:-]";
    let any = "[A-Za-z0-9._+@=,()!&'$;: -]";
    let end = "[A-Za-z0-9._+@=,()!&'$;:-]";
    let word = format!("{letter}({any}*{end})?");
    let part = format!("({word}|\\.({word}|[. ]{any}*{end}))");

    matching(1, FILE_PATH_MAX, &format!("{part}(/{part})*"))
}

fn word(longest: usize) -> String {
    format!("[A-Za-z0-9][A-Za-z0-9._-]{{0,{}}}", longest - 1)
}

/// Implements [`JsonSchema`] for a name.
macro_rules! name_schema {
    ($type:ident, $description:literal, $schema:expr) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = $schema;
                schema.insert("description".into(), $description.into());
                schema
            }
        }
    };
}

name_schema!(
    MeshName,
    "A mesh's name: labels separated by dots",
    with_format(
        "mesh-name",
        matching(1, MESH_NAME_MAX, &format!(r"{LABEL}(\.{LABEL})*"))
    )
);
name_schema!(
    RegionName,
    "A region's name: one label of a domain name",
    with_format("region-name", matching(1, NAME_MAX, LABEL))
);
name_schema!(
    AgentName,
    "An agent's name in its region: one label of a domain name",
    with_format("agent-name", matching(1, NAME_MAX, LABEL))
);
name_schema!(
    ModelName,
    "A model's name",
    matching(1, MODEL_NAME_MAX, &word(MODEL_NAME_MAX))
);
name_schema!(
    VersionName,
    "The name of a version; conflict resolution adds `+conflict.REGION`",
    version()
);

fn with_format(format: &str, mut schema: Schema) -> Schema {
    schema.insert("format".into(), format.into());
    schema
}

fn version() -> Schema {
    let longest = VERSION_NAME_MAX + "+conflict.".len() + NAME_MAX + ".01234567".len();
    let name = word(VERSION_NAME_MAX);
    let pattern = format!(r"{name}(\+conflict\.{LABEL}(\.[0-9a-f]{{8}})?)?");

    matching(1, longest, &pattern)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
