//! The schema of settings: the JSON Schema that schemars writes for their types, with everything
//! inlined. A [`Node`] reads the keywords that occur in it.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::Value;

/// The schema of a type.
pub fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
    });
    settings.into_generator().into_root_schema_for::<T>().into()
}

/// The schema of one value.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a>(pub &'a Value);

impl<'a> Node<'a> {
    /// Whether values of this JSON type are accepted.
    pub fn has_type(self, name: &str) -> bool {
        match &self.0["type"] {
            Value::String(only) => only == name,
            Value::Array(types) => types.iter().any(|one| one == name),
            // Any value.
            _ => true,
        }
    }

    /// The doc comment.
    pub fn description(self) -> Option<&'a str> {
        self.0["description"].as_str()
    }

    pub fn default(self) -> Option<&'a Value> {
        self.0.get("default")
    }

    pub fn format(self) -> Option<&'a str> {
        self.0["format"].as_str()
    }

    /// Lowest and highest number.
    pub fn range(self) -> (Option<f64>, Option<f64>) {
        (self.0["minimum"].as_f64(), self.0["maximum"].as_f64())
    }

    /// The fields of a table.
    pub fn properties(self) -> impl Iterator<Item = (&'a str, Self)> {
        let properties = self.0["properties"].as_object().into_iter().flatten();
        properties.map(|(name, schema)| (name.as_str(), Self(schema)))
    }

    /// The field of a table.
    pub fn property(self, name: &str) -> Option<Self> {
        self.0["properties"].get(name).map(Self)
    }

    /// The required fields of a table.
    pub fn required(self) -> impl Iterator<Item = &'a str> {
        let required = self.0["required"].as_array().into_iter().flatten();
        required.filter_map(Value::as_str)
    }

    /// Whether a table may have no further fields.
    pub fn is_closed(self) -> bool {
        self.0["additionalProperties"] == false
    }

    /// The values of a table with any keys.
    pub fn entries(self) -> Option<Self> {
        let by_pattern = self.0["patternProperties"].as_object();
        let any_key = &self.0["additionalProperties"];
        by_pattern
            .and_then(|patterns| patterns.values().next())
            .or(any_key.is_object().then_some(any_key))
            .map(Self)
    }

    /// The items of a list.
    pub fn items(self) -> Option<Self> {
        self.0.get("items").map(Self)
    }

    /// The variants of an enum, optional or not; empty for other types.
    pub fn variants(self) -> Vec<Self> {
        if self.constants().next().is_some() {
            return vec![self];
        }
        if let Some(variants) = self.0["oneOf"].as_array() {
            return variants.iter().map(Self).collect();
        }

        let or_null = self.0["anyOf"].as_array().into_iter().flatten();
        or_null.flat_map(|schema| Self(schema).variants()).collect()
    }

    /// The texts that a variant accepts.
    pub fn constants(self) -> impl Iterator<Item = &'a str> {
        let several = self.0["enum"].as_array().into_iter().flatten();
        let one = self.0.get("const");
        one.into_iter().chain(several).filter_map(Value::as_str)
    }
}
