//! Every operation of the served OpenAPI document, driven with extremes made from its own schemas:
//! what keeps to them is never answered 400 or 500, what breaks them is answered 400 with an error
//! that says so. A failure names the seed.

use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    string::string_regex,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use regionmesh_tests::{api::client, mesh::TestMesh};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Map, Value, json};

/// Requests that keep to the schemas, for each operation.
const VALID: usize = 12;
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
/// Levels of nesting that no parser should follow.
const DEEP: usize = 20_000;

/// Characters of a text that are drawn.
const LONG: usize = 2_000;

/// Makes values; the same for the same seed.
struct Generator {
    runner: TestRunner,
    regions: Vec<String>,
}

impl Generator {
    fn draw<T: std::fmt::Debug>(&mut self, strategy: impl Strategy<Value = T>) -> T {
        strategy
            .new_tree(&mut self.runner)
            .expect("a value")
            .current()
    }

    fn flip(&mut self) -> bool {
        self.draw(any::<bool>())
    }

    fn pick<T: Clone + std::fmt::Debug + 'static>(&mut self, choices: &[T]) -> T {
        self.draw(prop::sample::select(choices.to_vec()))
    }

    /// A value that the schema admits.
    fn valid(&mut self, document: &Value, schema: &Value) -> Value {
        let schema = resolved(document, schema);
        if let Some(choices) = schema["anyOf"].as_array() {
            let choice = self.pick(choices);
            return self.valid(document, &choice);
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
    fn known_region(&mut self, path: &str, name: &str) -> Option<String> {
        let is_harmless = name == "region" && !path.contains("/members/");
        (is_harmless && self.flip()).then(|| {
            let regions = self.regions.clone();
            self.pick(&regions)
        })
    }
}

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let Some(reference) = schema["$ref"].as_str() else {
        return schema;
    };
    document
        .pointer(reference.strip_prefix('#').unwrap())
        .unwrap_or_else(|| panic!("{reference} leads nowhere"))
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
fn invalid(document: &Value, schema: &Value) -> Vec<Value> {
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
            values.extend([json!(7), json!("x"), json!(true)]);
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
        }
        other => panic!("a request holds {other:?}: {schema}"),
    }

    values
}

fn invalid_texts(schema: &Value) -> Vec<String> {
    // A table has lines, and what its cells hold is judged by whoever reads it.
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

/// Percent-encoded, all of it that could mean something in a URL (RFC 3986 §2.3).
fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|b| {
            if is_plain(b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

/// What a parameter is written as.
fn written(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// One operation of the document.
struct Operation<'a> {
    document: &'a Value,
    method: Method,
    path: &'a str,
    about: &'a Value,
}

/// What is sent to it.
#[derive(Debug, Clone, Default)]
struct Sent {
    path: Vec<(String, String)>,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Operation<'_> {
    fn parameters(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let parameters = self.about["parameters"].as_array().into_iter().flatten();
        parameters.map(|one| {
            (
                one["in"].as_str().unwrap(),
                one["name"].as_str().unwrap(),
                &one["schema"],
            )
        })
    }

    fn body_schema(&self) -> Option<&Value> {
        let content = &self.about["requestBody"]["content"];
        content
            .get("application/json")
            .map(|json| resolved(self.document, &json["schema"]))
    }

    /// Keeps to the schemas.
    fn valid(&self, generator: &mut Generator) -> Sent {
        let mut sent = Sent::default();
        for (place, name, schema) in self.parameters() {
            let known = generator
                .known_region(self.path, name)
                .filter(|_| place == "path");
            let value = known.unwrap_or_else(|| written(&generator.valid(self.document, schema)));

            match place {
                "path" => sent.path.push((name.into(), value)),
                "query" if self.path.ends_with("/files") || generator.flip() => {
                    sent.query.push((name.into(), value))
                }
                "query" => {}
                "header" => sent.headers.push((name.into(), value)),
                other => panic!("a parameter in {other}"),
            }
        }

        if let Some(schema) = self.body_schema() {
            let mut body = generator.valid(self.document, schema);
            if let Some(region) = generator
                .known_region(self.path, "region")
                .filter(|_| body["region"].is_string())
            {
                body["region"] = region.into();
            }

            sent.body = Some(body.to_string().into_bytes());
        } else if self.about["requestBody"].is_object() {
            sent.body = Some(generator.draw(vec(any::<u8>(), 0..100)));
        }

        sent
    }

    /// Each breaks a schema in one place; with what is broken.
    fn invalid(&self, generator: &mut Generator) -> Vec<(String, Sent)> {
        let mut all = Vec::new();
        for (place, name, schema) in self.parameters() {
            let is_text = resolved(self.document, schema)["type"] == "string";
            for value in invalid(self.document, schema) {
                // In a URL everything is text, and a segment without any is another path.
                let is_told_apart = if is_text {
                    value.is_string()
                } else {
                    !value.is_null() && !value.is_string()
                };

                if !is_told_apart || place == "path" && value == "" {
                    continue;
                }

                let mut sent = self.valid(generator);
                let text = written(&value);
                match place {
                    "path" => sent
                        .path
                        .iter_mut()
                        .filter(|(other, _)| other == name)
                        .for_each(|one| one.1 = text.clone()),
                    "query" => {
                        sent.query.retain(|(other, _)| other != name);
                        sent.query.push((name.into(), text));
                    }
                    // Most of them can't be in a header.
                    _ => sent.headers = vec![(name.into(), "nonsense".into())],
                }

                all.push((format!("{place} {name} = {value}"), sent));
            }
        }

        let Some(schema) = self.body_schema() else {
            return all;
        };
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            for value in invalid(self.document, property) {
                let sent = self.valid(generator);
                let body = self.with_field(&sent, name, Some(value.clone()), &generator.regions[0]);
                all.push((
                    format!("body {name} = {value}"),
                    Sent {
                        body: Some(body),
                        ..sent
                    },
                ));
            }
        }

        for name in schema["required"].as_array().into_iter().flatten() {
            let sent = self.valid(generator);
            let body = self.with_field(&sent, name.as_str().unwrap(), None, &generator.regions[0]);
            all.push((
                format!("body without {name}"),
                Sent {
                    body: Some(body),
                    ..sent
                },
            ));
        }

        let deep_array = "[".repeat(DEEP);
        let deep_object = "{\"a\":".repeat(DEEP);
        let deep_field = format!("{{\"metadata\":{}", "{\"a\":".repeat(DEEP));
        let bodies = [
            "{",
            "[]",
            "null",
            "7",
            "\"x\"",
            "{} {}",
            "{\"surprise\":1}",
            &deep_array,
            &deep_object,
            &deep_field,
        ];

        let bodies = bodies.map(|text| text.as_bytes().to_vec()).into_iter();
        for body in bodies.chain([b"{\"by\":\"\xff\xfe\"}".to_vec(), b"\0".to_vec()]) {
            let begins: String = String::from_utf8_lossy(&body).chars().take(40).collect();
            all.push((
                format!("body {begins:?}"),
                Sent {
                    body: Some(body),
                    ..self.valid(generator)
                },
            ));
        }

        all
    }

    /// The body with one field changed, and everything else such that nothing else is refused
    /// first.
    fn with_field(&self, sent: &Sent, name: &str, value: Option<Value>, region: &str) -> Vec<u8> {
        let mut body: Value =
            serde_json::from_slice(sent.body.as_deref().unwrap_or(b"{}")).unwrap();
        if body["region"].is_string() {
            body["region"] = region.into();
        }

        let object = body.as_object_mut().unwrap();
        match value {
            Some(value) => drop(object.insert(name.to_owned(), value)),
            None => drop(object.remove(name)),
        }

        body.to_string().into_bytes()
    }

    fn request(&self, client: &Client, url: &str, token: &str, sent: &Sent) -> RequestBuilder {
        let mut path = self.path.to_owned();
        for (name, value) in &sent.path {
            path = path.replace(&format!("{{{name}}}"), &encoded(value));
        }

        let query: Vec<String> = sent
            .query
            .iter()
            .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
            .collect();
        let url = format!("{url}{path}?{}", query.join("&"));
        let mut request = client.request(self.method.clone(), url).bearer_auth(token);

        for (name, value) in &sent.headers {
            request = request.header(name, value);
        }
        match &sent.body {
            Some(body) => request.body(body.clone()),
            None => request,
        }
    }
}

/// Status and body; of a stream of events none.
async fn answer(request: RequestBuilder) -> (u16, Value) {
    let reply = request
        .send()
        .await
        .unwrap_or_else(|error| panic!("the connection was not answered: {error:?}"));
    let status = reply.status().as_u16();
    let kind = reply
        .headers()
        .get("content-type")
        .map(|kind| kind.to_str().unwrap().to_owned())
        .unwrap_or_default();

    if kind.starts_with("text/event-stream") {
        return (status, Value::Null);
    }

    let text = reply.text().await.unwrap();
    let is_json = kind.starts_with("application/json");
    (
        status,
        if is_json {
            serde_json::from_str(&text).unwrap()
        } else {
            Value::String(text)
        },
    )
}

/// Beginning of a text, for messages.
fn short(value: &impl std::fmt::Debug) -> String {
    format!("{value:?}").chars().take(600).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_to_the_served_schemas_is_never_400_and_what_breaks_them_always_is() {
    let seed: u64 = std::env::var("REGIONMESH_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(9_016);

    println!("seed {seed}; another one: REGIONMESH_SEED=…");
    let mesh = TestMesh::start().await;
    mesh.settled().await;

    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, seed_bytes(seed).as_slice());
    let regions = (0..3).map(|index| mesh.region(index).to_owned()).collect();
    let mut generator = Generator {
        runner: TestRunner::new_with_rng(Config::default(), rng),
        regions,
    };
    let client = client();
    let url = mesh.agent(0).api_url();
    let (code, document) = mesh.api(0).get("/v1/openapi.json").await.unwrap();

    assert_eq!(code, 200);

    let mut kept = 0;
    let mut broken = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, about) in item.as_object().unwrap() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let operation = Operation {
                document: &document,
                method,
                path,
                about,
            };

            for _ in 0..VALID {
                let sent = operation.valid(&mut generator);
                let (status, body) =
                    answer(operation.request(&client, &url, mesh.token(), &sent)).await;
                let told = format!(
                    "seed {seed}: {} {path} {} answered {status} {body}",
                    operation.method,
                    short(&sent)
                );

                // Who orders may be left out of the body where the token has a name, which no
                // schema can say.
                let asks_who = body["code"] == "by-required";
                assert!(asks_who || !matches!(status, 400 | 422 | 500), "{told}");
                assert!(
                    about["responses"].get(status.to_string()).is_some(),
                    "not in the document: {told}"
                );

                kept += 1;
            }

            for (what, sent) in operation.invalid(&mut generator) {
                let (status, body) =
                    answer(operation.request(&client, &url, mesh.token(), &sent)).await;
                let told = format!(
                    "seed {seed}: {} {path} with {} answered {status} {body}",
                    operation.method,
                    short(&what)
                );

                assert_eq!(status, 400, "{told}");
                let says = |field: &str| body[field].as_str().is_some_and(|text| !text.is_empty());
                assert!(says("error") && says("hint"), "{told}");
                broken += 1;
            }
        }
    }

    println!("{kept} requests kept to the schemas, {broken} broke them");
    assert!(kept > 300 && broken > 500, "{kept} {broken}");
    mesh.assert_all_run();

    let restarts = mesh
        .api(0)
        .metric("regionmesh_actor_restarts_total", &[])
        .await
        .unwrap();

    assert_eq!(restarts, 0.0, "an actor died");
}

/// A seed of 32 bytes.
fn seed_bytes(seed: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}
