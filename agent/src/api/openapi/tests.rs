#![allow(clippy::unwrap_used)]

use super::*;
use crate::api::routes::ROUTES;

#[test]
fn every_route_is_described_and_nothing_else() {
    let document = build(ROUTES);
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
fn every_parameter_has_a_rule_and_every_route_describes_421() {
    let document = build(ROUTES);
    for route in ROUTES {
        let operation = &document["paths"][route.path][route.method];
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let schema = resolved(&document, &parameter["schema"]);
            let is_exact = match schema["type"].as_str() {
                Some("string") => schema["pattern"].is_string() || schema["enum"].is_array(),
                Some("integer" | "number") => schema["maximum"].is_number(),
                kind => kind == Some("boolean"),
            };
            assert!(is_exact, "{}: {parameter}", route.path);
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

fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(path) => document.pointer(path.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

#[test]
fn types_have_different_names_and_those_of_answers_and_requests_agree() {
    let mut schemas = Schemas::default();
    for route in ROUTES {
        operation(route, &mut schemas);
    }

    let answers = schemas.answers.take_definitions(true);
    let requests = schemas.requests.take_definitions(true);
    for (name, schema) in &requests {
        assert!(
            !name.ends_with(char::is_numeric),
            "two types are called {name}"
        );
        let other = answers.get(name);
        assert!(other.is_none_or(|other| other == schema), "{name}");
    }

    for (name, schema) in &answers {
        assert!(
            !name.ends_with(char::is_numeric),
            "two types are called {name}"
        );
        assert!(schema["description"].is_string(), "{name} is not described");
    }
}

#[test]
fn answers_and_bodies_take_no_unknown_fields_and_nullable_ones_are_required() {
    let document = build(ROUTES);
    let schemas = &document["components"]["schemas"];
    for (name, schema) in schemas.as_object().unwrap() {
        if schema["properties"].is_object() {
            assert_eq!(schema["additionalProperties"], false, "{name}");
        }
    }

    let required = |name: &str| schemas[name]["required"].as_array().unwrap().clone();
    assert!(required("Status").contains(&json!("leader")));
    assert!(required("PlanDetail").contains(&json!("shortfall")));
    assert_eq!(required("ErrorBody"), [json!("error")]);
    assert_eq!(required("OrderBody"), [json!("by")]);
    assert_eq!(required("PricesBody"), [json!("name"), json!("text")]);
    assert!(schemas["BeginUpload"]["required"].is_null());

    let drain = &document["paths"]["/v1/failover/drain"]["post"]["requestBody"];
    let drain = &drain["content"]["application/json"]["schema"];
    assert_eq!(drain["required"], json!(["region", "by"]));
    assert_eq!(drain["additionalProperties"], false);
}
