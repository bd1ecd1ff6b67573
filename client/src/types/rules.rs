//! Schemas of fields of request bodies. A body that conforms to its schema is never answered 400.

use regionmesh_protocol::{
    identity::RegionName,
    models::manifest::{METADATA_MAX, TEXT_MAX},
    schema::{day, text},
    status::condition::Condition,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

/// A day or null.
pub(super) fn optional_day(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [day(generator), { "type": "null" }] })
}

/// Verdicts by region.
pub(super) fn assumed(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": RegionName::json_schema(generator),
        "additionalProperties": generator.subschema_for::<Condition>(),
    })
}

/// Key/value pairs of a version.
pub(super) fn metadata(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": METADATA_MAX,
        "propertyNames": text(TEXT_MAX),
        "additionalProperties": text(TEXT_MAX),
    })
}
