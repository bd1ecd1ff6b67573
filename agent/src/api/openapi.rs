//! The OpenAPI 3.1 document, made from the list of routes.

#[cfg(test)]
mod tests;

use super::{
    route::{Answer, BodyKind, Route},
    schemas::{of, schemas},
};
use serde_json::{Map, Value, json};

pub(crate) fn build(routes: &[Route]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in routes {
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

/// Errors of every route: no Host header, an unknown host, too many connections.
const COMMON_ERRORS: &[u16] = &[400, 421, 503];

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
            // A body is optional if all its fields are.
            let is_required = schemas()[schema]["required"]
                .as_array()
                .is_some_and(|required| !required.is_empty());
            operation["requestBody"] =
                json!({ "required": is_required, "content": json_of(schema) });
        }
        BodyKind::Form => {
            let file = json!({ "type": "string", "format": "binary" });
            let files = json!({ "type": "array", "items": file });
            let schema = json!({ "type": "object", "properties": { "file": files } });
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
        json!({
            "name": name, "in": "query", "required": false, "schema": of(kind),
            "description": meaning,
        })
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
            let content = json!({ "text/plain": { "schema": { "type": "string" } } });
            json!({ "200": { "description": "Done", "content": content } })
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
            let stream = json!({ "schema": { "type": "string" }, "x-itemSchema": schema });
            let content = json!({ "text/event-stream": stream });
            json!({ "200": { "description": "Events, until one side closes", "content": content } })
        }
        Answer::Created(schema) => {
            json!({ "201": { "description": "Done", "content": json_of(schema) } })
        }
        Answer::Probe(schema) => json!({
            "200": { "description": "Yes", "content": json_of(schema) },
            "503": { "description": "No", "content": json_of(schema) },
        }),
    };

    let guard_errors: &[u16] = match (route.needs_token, route.body) {
        (false, _) => &[],
        (true, BodyKind::File | BodyKind::Form) => &[401, 403, 503],
        (true, _) => &[401, 403, 408, 413, 503],
    };

    for code in route.errors.iter().chain(guard_errors).chain(COMMON_ERRORS) {
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
    let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
    json!({ "application/json": { "schema": schema } })
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
