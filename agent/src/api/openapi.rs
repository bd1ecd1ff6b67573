//! The OpenAPI 3.1 document, made from the list of routes.

use super::ROUTES;
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
        let mut parameters: Vec<Value> = route
            .path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
            .collect();
        if route.path.ends_with("/files") {
            parameters.push(json!({
                "name": "path", "in": "query", "required": true, "schema": { "type": "string" },
                "description": "Path of the file below the version's folder",
            }));
        }
        let mut operation = json!({
            "summary": route.summary,
            "operationId": operation_id(route.method, route.path),
            "parameters": parameters,
            "responses": {
                "200": { "description": "Done", "content": content(route.path) },
                "default": {
                    "description": "Not done",
                    "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
                },
            },
        });
        if route.needs_token {
            operation["security"] = json!([{ "token": [] }]);
        }
        if let Some(body) = body(route.path) {
            operation["requestBody"] = body;
        }
        let item = paths.entry(route.path.to_owned()).or_insert_with(|| json!({}));
        item[route.method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "RegionMesh agent",
            "version": crate::VERSION,
            "description": "Any agent answers for the whole mesh. Ages and durations are milliseconds, points in time Unix milliseconds.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {
                        "error": { "type": "string", "description": "What was wrong" },
                        "hint": { "type": "string", "description": "What to do" },
                    },
                },
            },
        },
    })
}

fn operation_id(method: &str, path: &str) -> String {
    let words = path.split('/').filter(|part| !part.is_empty()).map(|part| part.trim_matches(['{', '}']));
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("_").replace('.', "_")
}

fn content(path: &str) -> Value {
    match path {
        "/" | "/metrics" => json!({ "text/plain": { "schema": { "type": "string" } } }),
        _ => json!({ "application/json": { "schema": { "type": "object" } } }),
    }
}

fn body(path: &str) -> Option<Value> {
    let object = |properties: Value, required: Value| {
        let schema = json!({ "type": "object", "properties": properties, "required": required });
        json!({ "required": true, "content": { "application/json": { "schema": schema } } })
    };
    match path.rsplit('/').next()? {
        "uploads" => Some(object(
            json!({
                "publisher": { "type": "string" },
                "metadata": { "type": "object", "additionalProperties": { "type": "string" } },
            }),
            json!([]),
        )),
        "promote" => {
            Some(object(json!({ "alias": { "type": "string" }, "by": { "type": "string" } }), json!(["alias"])))
        }
        "files" => Some(json!({
            "required": true,
            "content": { "application/octet-stream": { "schema": { "type": "string", "format": "binary" } } },
        })),
        _ => None,
    }
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
                item.as_object().into_iter().flatten().map(|(method, _)| (path.clone(), method.clone()))
            })
            .collect();
        assert_eq!(described.len(), ROUTES.len());
        for route in ROUTES {
            assert!(described.contains(&(route.path.into(), route.method.into())), "{} is not described", route.path);
            assert_eq!(document["paths"][route.path][route.method]["security"].is_array(), route.needs_token);
        }
    }

    #[test]
    fn operation_ids_are_unique() {
        let mut ids: Vec<_> = ROUTES.iter().map(|route| operation_id(route.method, route.path)).collect();
        ids.sort();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count);
    }
}
