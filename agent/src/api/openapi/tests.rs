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
