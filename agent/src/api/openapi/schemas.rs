//! The schemas that the document refers to, made from the types.

use crate::api::route::MakeSchema;
use schemars::{Schema, SchemaGenerator, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Map, Value};

const DEFINITIONS: &str = "#/components/schemas";

/// Answers are described as they are written, requests as they are read.
pub(super) struct Schemas {
    pub(super) answers: SchemaGenerator,
    pub(super) requests: SchemaGenerator,
}

impl Default for Schemas {
    fn default() -> Self {
        let settings = SchemaSettings::draft2020_12()
            .with(|settings| settings.definitions_path = DEFINITIONS.into())
            .with_transform(RecursiveTransform(list_words))
            .with_transform(RecursiveTransform(drop_default));
        let answers = settings.clone().for_serialize();

        Self {
            answers: answers
                .with_transform(RecursiveTransform(close_object))
                .into_generator(),
            requests: settings.for_deserialize().into_generator(),
        }
    }
}

impl Schemas {
    /// The schema of an answer.
    pub(super) fn of_answer(&mut self, make: MakeSchema) -> Value {
        made(&mut self.answers, make)
    }

    /// The schema of a body or a parameter.
    pub(super) fn of_request(
        &mut self,
        make: impl FnOnce(&mut SchemaGenerator) -> Schema,
    ) -> Value {
        made(&mut self.requests, make)
    }

    /// Whether a body's schema, or the one that it refers to, requires a field.
    pub(super) fn has_required_fields(&self, schema: &Value) -> bool {
        let name = schema["$ref"]
            .as_str()
            .and_then(|path| path.strip_prefix(DEFINITIONS)?.strip_prefix('/'));
        let target = name.and_then(|name| self.requests.definitions().get(name));
        let required = target.unwrap_or(schema)["required"].as_array();

        required.is_some_and(|fields| !fields.is_empty())
    }

    /// Everything that was referred to. What occurs in answers and requests is the same in both; a
    /// test asserts it.
    pub(super) fn into_definitions(mut self) -> Map<String, Value> {
        let mut all = self.requests.take_definitions(true);
        all.extend(self.answers.take_definitions(true));
        all
    }
}

fn made(
    generator: &mut SchemaGenerator,
    make: impl FnOnce(&mut SchemaGenerator) -> Schema,
) -> Value {
    let mut schema = make(generator);
    for transform in generator.transforms_mut() {
        transform.transform(&mut schema);
    }

    schema.to_value()
}

/// Descriptions name the defaults that matter.
fn drop_default(schema: &mut Schema) {
    schema.remove("default");
}

/// An answer has no other fields than those of its type.
fn close_object(schema: &mut Schema) {
    if schema.get("properties").is_some() && schema.get("additionalProperties").is_none() {
        schema.insert("additionalProperties".into(), false.into());
    }
}

/// Turns alternatives that are words, each with a meaning, into one list, which more tools
/// understand.
fn list_words(schema: &mut Schema) {
    let Some(choices) = schema.get("oneOf").and_then(Value::as_array) else {
        return;
    };

    let mut words = Vec::new();
    let mut meanings = Vec::new();
    for choice in choices {
        if let Some(named) = choice["enum"].as_array() {
            words.extend(named.iter().cloned());
        } else if let Some(word) = choice["const"].as_str() {
            words.push(word.into());
            let meaning = choice["description"].as_str().unwrap_or_default();
            meanings.push(format!("- `{word}`: {meaning}"));
        } else {
            return;
        }
    }

    let about = schema.get("description").and_then(Value::as_str);
    let description = format!("{}\n\n{}", about.unwrap_or_default(), meanings.join("\n"));
    schema.remove("oneOf");
    schema.insert("type".into(), "string".into());
    schema.insert("enum".into(), words.into());
    schema.insert("description".into(), description.into());
}
