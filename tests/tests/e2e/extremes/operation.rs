//! Operations of the document, and the requests that are sent to them.

use super::generator::{Generator, invalid, resolved};
use proptest::{collection::vec, prelude::*};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

/// Levels of nesting that no parser should follow.
const DEEP: usize = 20_000;

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
pub(super) struct Operation<'a> {
    pub(super) document: &'a Value,
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) about: &'a Value,
}

/// What is sent to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Sent {
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

    /// A valid request.
    pub(super) fn valid(&self, generator: &mut Generator) -> Sent {
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
    pub(super) fn invalid(&self, generator: &mut Generator) -> Vec<(String, Sent)> {
        let mut all = self.with_invalid_parameters(generator);

        let Some(schema) = self.body_schema() else {
            return all;
        };
        all.extend(self.with_invalid_fields(generator, schema));

        all.extend(self.with_invalid_bodies(generator));

        all
    }

    /// Each breaks a parameter's schema.
    fn with_invalid_parameters(&self, generator: &mut Generator) -> Vec<(String, Sent)> {
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

        all
    }

    /// Each breaks the body's schema in one field.
    fn with_invalid_fields(
        &self,
        generator: &mut Generator,
        schema: &Value,
    ) -> Vec<(String, Sent)> {
        let mut all = Vec::new();
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

        all
    }

    /// Each has a body that is no object of the schema, or no JSON.
    fn with_invalid_bodies(&self, generator: &mut Generator) -> Vec<(String, Sent)> {
        let mut all = Vec::new();
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

    pub(super) fn request(
        &self,
        client: &Client,
        url: &str,
        token: &str,
        sent: &Sent,
    ) -> RequestBuilder {
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
