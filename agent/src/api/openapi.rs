//! The OpenAPI 3.1 document, made from the list of routes.

use super::{
    Answer, BodyKind, ROUTES, Route,
    schemas::{of, schemas},
};
use axum::Json;
use serde_json::{Map, Value, json};

/// `GET /v1/openapi.json`
pub async fn document() -> Json<Value> {
    Json(build())
}

/// The document.
pub fn build() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let item = paths
            .entry(route.path.to_owned())
            .or_insert_with(|| json!({}));
        item[route.method] = operation(route);
    }

    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "RegionMesh agent",
            "version": crate::VERSION,
            "description": "Any agent answers for the whole mesh. Ages and durations are \
                milliseconds, points in time Unix milliseconds.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas(),
        },
    })
}

/// What every route may answer: no Host header, a foreign one, more connections than there may be.
const OF_EVERY_ROUTE: &[u16] = &[400, 421, 503];

fn operation(route: &Route) -> Value {
    let parameters = parameters(route);
    let mut operation = json!({
        "summary": route.summary,
        "operationId": operation_id(route.method, route.path),
        "parameters": parameters,
        "responses": responses(route),
    });

    if route.needs_token {
        operation["security"] = json!([{ "token": [] }]);
    }

    match route.body {
        BodyKind::None => {}
        BodyKind::Json(schema) => {
            // An object whose fields may all be left out may be left out itself.
            let is_required = schemas()[schema]["required"]
                .as_array()
                .is_some_and(|required| !required.is_empty());
            operation["requestBody"] =
                json!({ "required": is_required, "content": json_of(schema) });
        }
        BodyKind::Form => {
            let file = json!({ "type": "string", "format": "binary" });
            let schema = json!({ "type": "object", "properties": { "file": { "type": "array", "items": file } } });
            let content = json!({ "multipart/form-data": { "schema": schema } });
            operation["requestBody"] = json!({ "required": true, "content": content });
        }
        BodyKind::File => {
            let schema = json!({ "type": "string", "format": "binary" });
            let content = json!({ "application/octet-stream": { "schema": schema } });
            operation["requestBody"] = json!({ "required": true, "content": content });
        }
    }

    operation
}

fn parameters(route: &Route) -> Vec<Value> {
    let names = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = names.map(|name| {
        let kind = route
            .path_kinds
            .iter()
            .find(|(named, _)| *named == name)
            .map_or(name, |(_, kind)| kind);

        json!({ "name": name, "in": "path", "required": true, "schema": of(kind) })
    });

    let mut parameters: Vec<Value> = in_path.collect();
    if route.body == BodyKind::File {
        parameters.push(json!({
            "name": "path", "in": "query", "required": true, "schema": of("file-path"),
            "description": "Path of the file below the version's folder",
        }));
    }

    parameters.extend(route.query.iter().map(|(name, kind, meaning)| {
        json!({ "name": name, "in": "query", "required": false, "schema": of(kind), "description": meaning })
    }));
    if matches!(route.answer, Answer::Stream(_)) {
        parameters.push(json!({
            "name": "Last-Event-ID", "in": "header", "required": false, "schema": of("cursor"),
            "description": "The last event seen; outranks `since`",
        }));
    }

    parameters
}

fn responses(route: &Route) -> Value {
    let mut responses = match route.answer {
        Answer::Text => {
            json!({ "200": { "description": "Done", "content": { "text/plain": { "schema": { "type": "string" } } } } })
        }
        Answer::Formats(schema) => {
            let mut content = json_of(schema);
            for media_type in ["text/plain", "text/csv", "text/html"] {
                content[media_type] = json!({ "schema": { "type": "string" } });
            }
            json!({ "200": { "description": "Done", "content": content } })
        }
        Answer::Json(schema) => {
            json!({ "200": { "description": "Done", "content": json_of(schema) } })
        }
        Answer::Stream(schema) => {
            let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
            json!({ "200": { "description": "Events, until one side closes", "content": {
                "text/event-stream": { "schema": { "type": "string" }, "x-itemSchema": schema } } } })
        }
        Answer::Created(schema) => {
            json!({ "201": { "description": "Done", "content": json_of(schema) } })
        }
        Answer::Probe(schema) => json!({
            "200": { "description": "Yes", "content": json_of(schema) },
            "503": { "description": "No", "content": json_of(schema) },
        }),
    };

    let of_the_guard: &[u16] = match (route.needs_token, route.body) {
        (false, _) => &[],
        (true, BodyKind::File | BodyKind::Form) => &[401, 403, 503],
        (true, _) => &[401, 403, 408, 413, 503],
    };

    for code in route
        .errors
        .iter()
        .chain(of_the_guard)
        .chain(OF_EVERY_ROUTE)
    {
        // A probe's 503 has a body of its own.
        if responses.get(code.to_string()).is_some() {
            continue;
        }

        let reason = http::StatusCode::from_u16(*code)
            .ok()
            .and_then(|code| code.canonical_reason());
        responses[code.to_string()] =
            json!({ "description": reason.unwrap_or("Not done"), "content": json_of("Error") });
    }

    responses["default"] = json!({ "description": "Not done", "content": json_of("Error") });
    responses
}

fn json_of(schema: &str) -> Value {
    json!({ "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } } })
}

fn operation_id(method: &str, path: &str) -> String {
    let words = path
        .split('/')
        .filter(|part| !part.is_empty())
        .map(|part| part.trim_matches(['{', '}']));

    std::iter::once(method)
        .chain(words)
        .collect::<Vec<_>>()
        .join("_")
        .replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document = build();
        let described: Vec<(String, String)> = document["paths"]
            .as_object()
            .into_iter()
            .flatten()
            .flat_map(|(path, item)| {
                item.as_object()
                    .into_iter()
                    .flatten()
                    .map(|(method, _)| (path.clone(), method.clone()))
            })
            .collect();

        assert_eq!(described.len(), ROUTES.len());
        for route in ROUTES {
            assert!(
                described.contains(&(route.path.into(), route.method.into())),
                "{} is not described",
                route.path
            );

            assert_eq!(
                document["paths"][route.path][route.method]["security"].is_array(),
                route.needs_token
            );
        }
    }

    #[test]
    fn every_parameter_has_a_rule_and_every_route_tells_of_421() {
        for route in ROUTES {
            let operation = operation(route);
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(
                    parameter["schema"]["type"].is_string(),
                    "{}: {parameter}",
                    route.path
                );
            }

            for code in ["400", "421", "503"] {
                assert!(
                    operation["responses"][code].is_object(),
                    "{}: {code}",
                    route.path
                );
            }
        }
    }

    #[test]
    fn operation_ids_are_unique() {
        let mut ids: Vec<_> = ROUTES
            .iter()
            .map(|route| operation_id(route.method, route.path))
            .collect();

        ids.sort();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
