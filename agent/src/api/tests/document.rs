//! The OpenAPI document against the API that it describes.

use super::*;
use crate::api::{
    conformance::assert_conforms,
    route::{Answer, Route},
};
use http::header::ALLOW;
use regionmesh_core::notify::alert::Alert;
use regionmesh_protocol::status::AgentInfo;

const METHODS: [&str; 7] = ["get", "head", "post", "put", "patch", "delete", "options"];

async fn document(fixture: &Fixture) -> Value {
    fixture.read("/v1/openapi.json").await
}

#[tokio::test]
async fn every_described_path_is_served_with_the_described_methods_and_no_others() {
    let fixture = Fixture::start().await;
    let document = document(&fixture).await;
    let paths = document["paths"].as_object().unwrap();

    assert!(!paths.is_empty());
    for (path, item) in paths {
        let mut described: Vec<_> = item
            .as_object()
            .unwrap()
            .keys()
            .map(|method| method.to_uppercase())
            .collect();

        if described.contains(&"GET".to_owned()) {
            // Served by every route that is read (RFC 9110 §9.1).
            described.push("HEAD".into());
        }

        described.sort();
        // The answer to a method that no route has lists those that it has.
        let reply = fixture
            .send(
                fixture
                    .http
                    .request(Method::TRACE, fixture.url(&example(path))),
            )
            .await;
        reply.error(405);

        let mut served: Vec<_> = reply
            .header(ALLOW.as_str())
            .split(',')
            .map(|name| name.trim().to_owned())
            .collect();

        served.sort();
        assert_eq!(served, described, "{path}");
    }
}

#[tokio::test]
async fn undocumented_paths_are_not_served() {
    let fixture = Fixture::start().await;
    let document = document(&fixture).await;
    for route in ROUTES {
        assert!(
            document["paths"][route.path][route.method].is_object(),
            "{} is not described",
            route.path
        );
    }

    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            assert!(METHODS.contains(&method.as_str()), "{path} {method}");
            assert!(
                ROUTES
                    .iter()
                    .any(|route| route.path == path && route.method == method),
                "{method} {path} is described but no route"
            );
        }
    }
}

/// An API with something to answer on every route that reads.
async fn populated() -> Fixture {
    let fixture = Fixture::start().await;
    fixture.plan();
    fixture.set_verdict("us-west-2", Condition::Healthy);
    fixture.link("eu-west-1/node-0", 140_000);

    let up = ChildHealth {
        is_running: true,
        ..ChildHealth::default()
    };

    fixture
        .actors
        .send_replace(Arc::new(BTreeMap::from([("gossip", up)])));

    let agent = AgentInfo {
        version: "1".into(),
        started_ms: 1,
        boot: 1,
        api_url: "http://127.0.0.12:9080".into(),
        cloud: "gcp".into(),
    };

    fixture.set_status("eu-west-1/node-0", true, vec![StatusEntry::Agent(agent)]);
    fixture.publish("resnet", "1", "weights").await;
    fixture
        .promote("1", r#"{"alias":"production","force":true}"#)
        .await
        .ok(200);

    fixture
        .catalogued(|catalogue| !catalogue.aliases.is_empty())
        .await;

    let event =
        crate::events::tests::event(1, regionmesh_protocol::event::EventKind::Plan, "us-west-2");
    fixture.snapshots.events.send_modify(|log| log.add(event));
    fixture.snapshots.alerts.send_replace(Arc::new(vec![Alert {
        labels: [("alertname", "A".into())].into(),
        kind: regionmesh_protocol::event::EventKind::Plan,
        severity: Default::default(),
        summary: "s".into(),
        description: "d".into(),
        starts_ms: 1,
        ended_ms: None,
        reported_by: None,
    }]));

    fixture
}

#[tokio::test]
async fn every_answer_matches_its_schema_field_by_field() {
    let fixture = populated().await;
    let document = document(&fixture).await;
    let mut compared = 0;

    // A stream does not end; its data are the events of the list.
    let is_finite = |route: &&Route| !matches!(route.answer, Answer::Stream(_));
    for route in ROUTES
        .iter()
        .filter(|route| route.method == "get")
        .filter(is_finite)
    {
        let reply = fixture.get(&example(route.path)).await;
        let responses = &document["paths"][route.path]["get"]["responses"];
        let described = &responses[reply.status.as_str()];

        assert!(
            described.is_object(),
            "{} answered {}, which is not described",
            route.path,
            reply.status
        );

        let Some(content) = described["content"].get("application/json") else {
            continue;
        };
        assert_conforms(&content["schema"], &reply.json(), route.path);
        compared += 1;
    }

    assert!(compared >= 10, "only {compared} answers were compared");
    for path in ["/v1/models/none", "/nothing"] {
        let error = fixture.get(path).await.json();
        assert_conforms(
            &document["components"]["schemas"]["ErrorBody"],
            &error,
            path,
        );
    }
}
