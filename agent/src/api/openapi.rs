//! The OpenAPI 3.1 document, made from the list of routes.

mod schemas;

#[cfg(test)]
mod tests;

use super::{
    parameters::{cursor, in_path},
    route::{Answer, BodyKind, MakeSchema, Route, schema},
};
use regionmesh_client::ErrorBody;
use regionmesh_protocol::schema::file_path;
use schemars::{Schema, SchemaGenerator, json_schema};
use schemas::Schemas;
use serde_json::{Map, Value, json};

pub(crate) fn build(routes: &[Route]) -> Value {
    let mut schemas = Schemas::default();
    let mut paths: Map<String, Value> = Map::new();
    for route in routes {
        let item = paths
            .entry(route.path.to_owned())
            .or_insert_with(|| json!({}));
        item[route.method] = operation(route, &mut schemas);
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
            "schemas": schemas.into_definitions(),
        },
    })
}

/// The schema of this document itself.
pub(crate) fn any_document(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "description": "An OpenAPI 3.1 document" })
}

/// Errors of every route: no Host header, an unknown host, too many connections.
const COMMON_ERRORS: &[u16] = &[400, 421, 503];

fn operation(route: &Route, schemas: &mut Schemas) -> Value {
    let parameters = parameters(route, schemas);
    let mut operation = json!({
        "summary": route.summary,
        "operationId": operation_id(route.method, route.path),
        "parameters": parameters,
        "responses": responses(route, schemas),
    });

    if route.needs_token {
        operation["security"] = json!([{ "token": [] }]);
    }

    match route.body {
        BodyKind::None => {}
        BodyKind::Json(body) => {
            let schema = schemas.of_request(body);
            // A body is optional if all its fields are.
            let is_required = schemas.has_required_fields(&schema);
            operation["requestBody"] =
                json!({ "required": is_required, "content": json_of(&schema) });
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

fn parameters(route: &Route, schemas: &mut Schemas) -> Vec<Value> {
    let names = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let of_path = names.map(|name| {
        let own = route.path_schemas.iter().find(|(named, _)| *named == name);
        let schema = match own {
            Some((_, make)) => schemas.of_request(*make),
            None => schemas.of_request(|generator| in_path(name, generator)),
        };

        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    });

    let mut parameters: Vec<Value> = of_path.collect();
    if matches!(route.body, BodyKind::File) {
        parameters.push(json!({
            "name": "path", "in": "query", "required": true,
            "schema": schemas.of_request(file_path),
            "description": "Path of the file below the version's folder",
        }));
    }

    parameters.extend(route.query.iter().map(|(name, make, meaning)| {
        json!({
            "name": name, "in": "query", "required": false, "schema": schemas.of_request(*make),
            "description": meaning,
        })
    }));
    if matches!(route.answer, Answer::Stream(_)) {
        parameters.push(json!({
            "name": "Last-Event-ID", "in": "header", "required": false,
            "schema": schemas.of_request(cursor),
            "description": "The last event seen; outranks `since`",
        }));
    }

    parameters
}

/// The answer to a request that succeeds.
fn success(answer: Answer, schemas: &mut Schemas) -> Value {
    let mut content = |make: MakeSchema| json_of(&schemas.of_answer(make));
    match answer {
        Answer::Text => {
            let content = json!({ "text/plain": { "schema": { "type": "string" } } });
            json!({ "200": { "description": "Done", "content": content } })
        }
        Answer::Formats(schema) => {
            let mut content = content(schema);
            for media_type in ["text/plain", "text/csv", "text/html"] {
                content[media_type] = json!({ "schema": { "type": "string" } });
            }
            json!({ "200": { "description": "Done", "content": content } })
        }
        Answer::Json(schema) => {
            json!({ "200": { "description": "Done", "content": content(schema) } })
        }
        Answer::Stream(schema) => {
            let schema = schemas.of_answer(schema);
            let stream = json!({ "schema": { "type": "string" }, "x-itemSchema": schema });
            let content = json!({ "text/event-stream": stream });
            json!({ "200": { "description": "Events, until one side closes", "content": content } })
        }
        Answer::Created(schema) => {
            json!({ "201": { "description": "Done", "content": content(schema) } })
        }
        Answer::Probe(schema) => json!({
            "200": { "description": "Yes", "content": content(schema) },
            "503": { "description": "No", "content": content(schema) },
        }),
    }
}

fn responses(route: &Route, schemas: &mut Schemas) -> Value {
    let mut responses = success(route.answer, schemas);
    let error = json_of(&schemas.of_answer(schema::<ErrorBody>));

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
            json!({ "description": reason.unwrap_or("Not done"), "content": error });
    }

    responses["default"] = json!({ "description": "Not done", "content": error });
    responses
}

fn json_of(schema: &Value) -> Value {
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
