//! The JSON objects of the API, for the OpenAPI document.
//!
//! Written by hand next to [`regionmesh_client`]; a test compares real answers with it, field by
//! field, in both directions. Request bodies are in [`requests`], the values of names and texts in
//! [`rules`].

mod cost;
mod events;
mod failover;
mod mesh;
mod models;
mod object;
mod probes;
mod requests;
mod rules;
mod traffic;

#[cfg(test)]
mod tests;

pub(crate) use rules::of;

use object::Object;
use requests::REQUESTS;
use serde_json::{Map, Value, json};

fn objects() -> impl Iterator<Item = &'static Object> {
    [
        mesh::OBJECTS,
        failover::OBJECTS,
        events::OBJECTS,
        probes::OBJECTS,
        REQUESTS,
        traffic::OBJECTS,
        models::OBJECTS,
        cost::OBJECTS,
    ]
    .into_iter()
    .flatten()
}

/// The value of `#/components/schemas`.
pub(crate) fn schemas() -> Value {
    let mut all = Map::new();
    for (name, about, fields) in objects() {
        let properties: Map<String, Value> = fields
            .iter()
            .map(|(name, kind, meaning)| ((*name).into(), property(kind, meaning)))
            .collect();
        let required: Vec<_> = fields
            .iter()
            .filter(|(_, kind, _)| !kind.ends_with('~'))
            .map(|(name, ..)| *name)
            .collect();

        let object = json!({
            "type": "object",
            "description": about,
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        });

        all.insert((*name).into(), object);
    }

    all.insert(
        "OpenApi".into(),
        json!({ "type": "object", "description": "An OpenAPI 3.1 document" }),
    );

    Value::Object(all)
}

fn property(kind: &str, meaning: &str) -> Value {
    let kind = kind.trim_end_matches('~');
    let mut schema = match kind.strip_suffix('?') {
        Some(kind) => json!({ "anyOf": [of(kind), { "type": "null" }] }),
        None => of(kind),
    };

    schema["description"] = meaning.into();
    schema
}
