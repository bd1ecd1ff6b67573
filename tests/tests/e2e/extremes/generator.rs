//! Values that a schema admits, and values that it does not.

use proptest::{prelude::*, strategy::ValueTree, string::string_regex, test_runner::TestRunner};
use serde_json::{Map, Value, json};

/// Characters that no text and no name may hold.
const UNPRINTABLE: [char; 6] = ['\0', '\n', '\u{1b}', '\u{9b}', '\u{202e}', '\u{2028}'];

/// Where integers end in one language or another.
const INTEGERS: [i128; 12] = [
    i64::MIN as i128,
    i32::MIN as i128,
    -1,
    0,
    1,
    i32::MAX as i128,
    u32::MAX as i128,
    u32::MAX as i128 + 1,
    (1 << 53) + 1,
    i64::MAX as i128,
    u64::MAX as i128,
    u64::MAX as i128 + 1,
];

/// Characters of a text that are drawn.
const LONG: usize = 2_000;

/// Makes values; the same for the same seed.
pub(super) struct Generator {
    pub(super) runner: TestRunner,
    pub(super) regions: Vec<String>,
}

impl Generator {
    pub(super) fn draw<T: std::fmt::Debug>(&mut self, strategy: impl Strategy<Value = T>) -> T {
        strategy
            .new_tree(&mut self.runner)
            .expect("a value")
            .current()
    }

    pub(super) fn flip(&mut self) -> bool {
        self.draw(any::<bool>())
    }

    pub(super) fn pick<T: Clone + std::fmt::Debug + 'static>(&mut self, choices: &[T]) -> T {
        self.draw(prop::sample::select(choices.to_vec()))
    }

    /// A value that the schema admits.
    pub(super) fn valid(&mut self, document: &Value, schema: &Value) -> Value {
        let schema = resolved(document, schema);
        if let Some(choices) = schema["anyOf"].as_array() {
            let choice = self.pick(choices);
            return self.valid(document, &choice);
        }

        if let Some(kinds) = schema["type"].as_array() {
            let kind = self.pick(kinds);
            return self.valid(document, &of_kind(schema, kind));
        }

        match schema["type"].as_str() {
            Some("null") => Value::Null,
            Some("boolean") => self.flip().into(),
            Some("integer") => {
                let (least, most) = bounds(schema);
                let mut choices: Vec<i128> = INTEGERS
                    .into_iter()
                    .filter(|n| (least..=most).contains(n))
                    .collect();

                choices.extend([least, most]);
                number(self.pick(&choices))
            }
            Some("number") => {
                let most = schema["maximum"]
                    .as_f64()
                    .unwrap_or_else(|| panic!("no maximum in {schema}"));
                assert_eq!(schema["exclusiveMinimum"], 0, "{schema}");
                self.pick(&[f64::MIN_POSITIVE, 0.5, 1.0, most]).into()
            }
            Some("string") => self.valid_text(schema).into(),
            Some("object") => self.valid_object(document, schema),
            other => panic!("a request holds {other:?}: {schema}"),
        }
    }

    fn valid_text(&mut self, schema: &Value) -> String {
        if let Some(words) = schema["enum"].as_array() {
            return self.pick(words).as_str().unwrap().to_owned();
        }

        let pattern = schema["pattern"]
            .as_str()
            .unwrap_or_else(|| panic!("no pattern in {schema}"));
        let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
        let longest = usize::try_from(schema["maxLength"].as_u64().unwrap_or(200)).unwrap();

        // As long as it may be, where any length is possible; very long texts repeat themselves.
        let (pattern, length) = match pattern.strip_suffix("]*") {
            Some(class) if class.rfind('[') == Some(0) && self.flip() => {
                (format!("{class}]{{{}}}", longest.min(LONG)), longest)
            }
            _ => (pattern.to_owned(), 0),
        };
        let texts = string_regex(&pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));

        if length > LONG {
            return self.draw(texts).chars().cycle().take(length).collect();
        }
        self.draw(texts.prop_filter("longer than allowed", move |text| {
            text.chars().count() <= longest
        }))
    }

    fn valid_object(&mut self, document: &Value, schema: &Value) -> Value {
        let mut object = Map::new();
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            if required.contains(&json!(name)) || self.flip() {
                object.insert(name.clone(), self.valid(document, property));
            }
        }

        if let Some(names) = schema.get("propertyNames") {
            let most = schema["maxProperties"].as_u64().unwrap_or(4);
            for _ in 0..self.pick(&[0, 1, most]) {
                let name = self.valid_text(names);
                let value = self.valid(document, &schema["additionalProperties"]);
                object.insert(name, value);
            }
        }

        object.into()
    }

    /// A region that there is, where that does no harm to the mesh.
    pub(super) fn known_region(&mut self, path: &str, name: &str) -> Option<String> {
        let is_harmless = name == "region" && !path.contains("/members/");
        (is_harmless && self.flip()).then(|| {
            let regions = self.regions.clone();
            self.pick(&regions)
        })
    }
}

pub(super) fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let Some(reference) = schema["$ref"].as_str() else {
        return schema;
    };
    document
        .pointer(reference.strip_prefix('#').unwrap())
        .unwrap_or_else(|| panic!("{reference} leads nowhere"))
}

/// The schema, for values of one of its types.
fn of_kind(schema: &Value, kind: Value) -> Value {
    let mut schema = schema.clone();
    schema["type"] = kind;
    schema
}

fn bounds(schema: &Value) -> (i128, i128) {
    let bound = |name: &str| {
        schema[name]
            .as_i64()
            .unwrap_or_else(|| panic!("no {name} in {schema}"))
            .into()
    };

    (bound("minimum"), bound("maximum"))
}

/// As JSON, also where it does not fit 64 bits.
fn number(value: i128) -> Value {
    serde_json::from_str(&value.to_string()).unwrap()
}

/// Values that the schema does not admit.
pub(super) fn invalid(document: &Value, schema: &Value) -> Vec<Value> {
    let schema = resolved(document, schema);
    if let Some(choices) = schema["anyOf"].as_array() {
        let is_nullable = choices.iter().any(|choice| choice["type"] == "null");
        let others = choices
            .iter()
            .find(|choice| choice["type"] != "null")
            .unwrap();
        let values = invalid(document, others).into_iter();

        return values
            .filter(|value| !(is_nullable && value.is_null()))
            .collect();
    }

    if let Some(kinds) = schema["type"].as_array() {
        let is_nullable = kinds.iter().any(|kind| kind == "null");
        let other = kinds.iter().find(|kind| **kind != "null").unwrap();
        let values = invalid(document, &of_kind(schema, other.clone())).into_iter();

        return values
            .filter(|value| !(is_nullable && value.is_null()))
            .collect();
    }

    let mut values = vec![Value::Null, json!([]), json!(1.5)];
    match schema["type"].as_str() {
        Some("boolean") => values.extend([json!("yes"), json!(1), json!({})]),
        Some("integer") => {
            let (least, most) = bounds(schema);
            values.extend([json!("7"), json!(true), json!({}), json!(1e300)]);

            let outside = INTEGERS
                .into_iter()
                .chain([least - 1, most + 1])
                .filter(|n| !(least..=most).contains(n));

            values.extend(outside.map(number));
        }
        Some("number") => {
            values.retain(|value| !value.is_number());
            let most = schema["maximum"].as_f64().unwrap();
            values.extend([
                json!("7"),
                json!(true),
                json!({}),
                json!(0),
                json!(-1.5),
                json!(1e300),
                json!(most + 0.5),
            ]);
        }
        Some("string") => {
            values.extend([json!(7), json!(true), json!({})]);
            values.extend(invalid_texts(schema).into_iter().map(Value::from));
        }
        Some("object") => {
            values.extend(invalid_objects(document, schema));
        }
        other => panic!("a request holds {other:?}: {schema}"),
    }

    values
}

fn invalid_objects(document: &Value, schema: &Value) -> Vec<Value> {
    let mut values = vec![json!(7), json!("x"), json!(true)];
    if let Some(names) = schema.get("propertyNames") {
        let value = |text: &Value| {
            if text["enum"].is_array() {
                text["enum"][0].clone()
            } else {
                json!("a")
            }
        };
        let of = resolved(document, &schema["additionalProperties"]);

        values.extend(
            invalid_texts(names)
                .into_iter()
                .map(|name| json!({ name: value(of) })),
        );

        values.extend(
            invalid(document, of)
                .into_iter()
                .map(|value| json!({ "a": value })),
        );
    }

    if let Some(most) = schema["maxProperties"].as_u64() {
        let many: Map<String, Value> = (0..=most)
            .map(|number| (number.to_string(), json!("")))
            .collect();
        values.push(many.into());
    }

    values
}

fn invalid_texts(schema: &Value) -> Vec<String> {
    // A table has lines, and what its cells hold is judged where it is parsed.
    let is_table = schema["pattern"]
        .as_str()
        .is_some_and(|pattern| pattern.contains(r"[^\u0000]"));
    let breaking = UNPRINTABLE.iter().filter(|c| !is_table || **c == '\0');
    let mut texts: Vec<String> = breaking
        .flat_map(|c| [format!("a{c}b"), format!("a{c}"), format!("{c}a")])
        .collect();

    if let Some(longest) = schema["maxLength"].as_u64() {
        texts.push("a".repeat(usize::try_from(longest).unwrap() + 1));
        texts.push("é".repeat(usize::try_from(longest).unwrap() + 1));
    }

    if schema["minLength"]
        .as_u64()
        .is_some_and(|shortest| shortest > 0)
    {
        texts.push(String::new());
    }

    if schema["enum"].is_array() {
        texts.push("nonsense".into());
    }
    texts
}
