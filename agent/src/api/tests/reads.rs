//! Reads: state, probes, metrics.

use super::*;
use regionmesh_client::{PlanDetail, Status};
use regionmesh_protocol::status::{AgentInfo, Holdings, problem::ProblemKind};

fn actor(is_running: bool, failures_in_a_row: u32, down_for: Option<Duration>) -> ChildHealth {
    let down_since = down_for.map(|down_for| Instant::now().checked_sub(down_for).unwrap());
    ChildHealth {
        is_running,
        restarts: 1,
        last_error: "broke".into(),
        failures_in_a_row,
        down_since,
    }
}

#[tokio::test]
async fn the_index_names_the_agent_and_every_route() {
    let fixture = Fixture::start().await;
    let reply = fixture.get("/").await.ok(200);
    assert!(reply.header("content-type").starts_with("text/plain"));
    assert!(
        reply.text.contains("us-west-2/node-0") && reply.text.contains("regionmesh.test"),
        "{}",
        reply.text
    );

    assert!(
        ROUTES.iter().all(|route| reply.text.contains(route.path)),
        "{}",
        reply.text
    );
}

#[tokio::test]
async fn a_new_agent_reports_what_it_does_not_know_yet_and_does_not_fail() {
    let fixture = Fixture::start().await;
    let status: Status = serde_json::from_value(fixture.read("/v1/status").await).unwrap();

    assert!(
        status.plan.is_none()
            && status.leader.is_none()
            && status.agents.is_empty()
            && status.models.is_empty()
    );

    assert_eq!(status.regions.len(), 3);
    for region in &status.regions {
        assert_eq!(
            (region.verdict, region.traffic_state.as_str(), region.share),
            (Condition::Unknown, "unplanned", 0.0)
        );

        // What DNS answers from before the first plan.
        assert_eq!(region.addresses.len(), 1);
    }

    let missing = fixture.get("/v1/plan").await;
    missing.refused(503, "no plan");
    assert_eq!(missing.header("retry-after"), "1");
    assert_eq!(fixture.read("/v1/models").await, json!({ "models": [] }));
}

#[tokio::test]
async fn status_has_the_plan_the_leader_and_every_region_and_agent() {
    let fixture = Fixture::start().await;
    fixture.plan();
    fixture.set_verdict("ap-south-1", Condition::Failed);
    fixture.link("eu-west-1/node-0", 140_000);

    let agent = AgentInfo {
        version: "1.2.3".into(),
        started_ms: regionmesh_runtime::time::unix_ms() - 60_000,
        boot: 1,
        api_url: "http://127.0.0.12:9080".into(),
        cloud: "gcp".into(),
    };

    let holdings = Holdings {
        version_count: 4,
        missing: 2,
        lag_ms: 900,
        ..Holdings::default()
    };

    fixture.set_status(
        "eu-west-1/node-0",
        true,
        vec![
            StatusEntry::Agent(agent.clone()),
            StatusEntry::Holdings(holdings),
        ],
    );

    fixture.set_status("ap-south-1/node-0", false, vec![StatusEntry::Agent(agent)]);

    let status = fixture.read("/v1/status").await;
    assert_eq!(status["mesh"], "regionmesh.test");
    assert_eq!(status["answered_by"], "us-west-2/node-0");
    assert_eq!(
        status["leader"],
        json!({ "agent": "eu-west-1/node-0", "ballot": 9 })
    );

    assert_plan(&status["plan"]);
    assert_regions(&status);
    assert_agents(&status);

    let regions = fixture.read("/v1/regions").await;
    assert_eq!(regions["regions"].as_array().unwrap().len(), 3);

    let plan: PlanDetail = serde_json::from_value(fixture.read("/v1/plan").await).unwrap();
    let out = plan
        .regions
        .iter()
        .find(|region| region.region.as_str() == "ap-south-1")
        .unwrap();

    assert_eq!(
        (plan.brief.seq, out.since_ms, out.failed_ms),
        (12, Some(42), Some(42))
    );
}

#[track_caller]
fn assert_plan(plan: &Value) {
    assert_eq!(
        (&plan["seq"], &plan["made_ms"], &plan["reason"]),
        (&json!(12), &json!(1_000), &json!("ap-south-1 failed"))
    );

    assert_eq!(
        plan["ballot"],
        json!({ "number": 9, "agent": "eu-west-1/node-0" })
    );

    assert!(plan["age_ms"].as_u64().unwrap() > 1_000_000_000);
}

#[track_caller]
fn assert_regions(status: &Value) {
    let region = |name: &str| {
        status["regions"]
            .as_array()
            .unwrap()
            .iter()
            .find(|region| region["region"] == name)
            .unwrap()
            .clone()
    };

    let up = region("us-west-2");
    let ramping = region("eu-west-1");
    let out = region("ap-south-1");

    assert_eq!(
        (&up["traffic_state"], &up["weight_bp"], &up["share"]),
        (&json!("serving"), &json!(7_500), &json!(0.75))
    );

    assert_eq!(
        (&up["verdict"], &up["ramp_percent"]),
        (&json!("unknown"), &Value::Null)
    );

    assert_eq!(
        (&up["cloud"], &up["endpoint"]),
        (&json!("local"), &json!("127.0.0.11:7443"))
    );

    assert_eq!(
        (&ramping["traffic_state"], &ramping["ramp_percent"]),
        (&json!("ramping"), &json!(25))
    );

    assert_eq!(
        (&ramping["flaps"], &ramping["addresses"]),
        (&json!(2), &json!(["127.0.0.12"]))
    );

    assert_eq!(
        (&out["traffic_state"], &out["verdict"]),
        (&json!("out"), &json!("failed"))
    );

    assert_eq!(
        (&out["verdict_since_ms"], &out["verdict_reason"]),
        (&json!(77), &json!("as the test says"))
    );

    assert_eq!(
        out["votes"],
        json!([{ "region": "eu-west-1", "condition": "failed" }])
    );
}

#[track_caller]
fn assert_agents(status: &Value) {
    let agents = status["agents"].as_array().unwrap();
    let [dead, alive] = &agents[..] else {
        panic!("{agents:?}")
    };

    assert_eq!(
        (&alive["agent"], &alive["alive"]),
        (&json!("eu-west-1/node-0"), &json!(true))
    );

    assert_eq!(
        (&alive["version"], &alive["cloud"]),
        (&json!("1.2.3"), &json!("gcp"))
    );

    assert_eq!(
        (&alive["api_url"], &alive["round_trip_us"]),
        (&json!("http://127.0.0.12:9080"), &json!(140_000))
    );

    assert_eq!(
        alive["holdings"],
        json!({ "versions": 4, "missing": 2, "lag_ms": 900, "unknown": [] })
    );

    assert!(
        alive["uptime_ms"].as_u64().unwrap() >= 60_000
            && alive["age_ms"].as_u64().unwrap() < 20_000
    );

    assert_eq!(
        (&dead["alive"], &dead["round_trip_us"], &dead["uptime_ms"]),
        (&json!(false), &Value::Null, &json!(0))
    );
}

#[tokio::test]
async fn a_shortened_ramp_does_not_hide_a_regions_share() {
    let fixture = Fixture::with(Limits::default(), |config| {
        config.recovery.steps.truncate(1)
    })
    .await;

    fixture.plan();
    let status = fixture.read("/v1/status").await;
    let ramping = status["regions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|region| region["region"] == "eu-west-1")
        .unwrap();

    // A step that is no longer there counts as the last one, here as in the plan's policy.
    assert_eq!(ramping["ramp_percent"], 1);
}

#[tokio::test]
async fn a_verdict_is_a_status_that_a_load_balancer_understands() {
    let fixture = Fixture::start().await;
    assert_eq!(
        fixture.read("/verdict/us-west-2").await["verdict"],
        "unknown"
    );

    for (condition, status) in [
        (Condition::Unknown, 200),
        (Condition::Healthy, 200),
        (Condition::Suspect, 200),
        (Condition::Failed, 503),
        (Condition::Draining, 503),
    ] {
        fixture.set_verdict("us-west-2", condition);
        let body = fixture.get("/verdict/us-west-2").await.ok(status).json();
        assert_eq!(
            body,
            json!({ "region": "us-west-2", "verdict": condition, "reason": "as the test says" })
        );
    }

    fixture
        .get("/verdict/mars-1")
        .await
        .refused(404, "no region mars-1");

    fixture
        .get("/verdict/..%2Fx")
        .await
        .refused(400, "region name");
}

#[tokio::test]
async fn liveness_tolerates_a_restart_and_names_an_actor_that_stays_down() {
    let fixture = Fixture::start().await;
    let set = |gossip: ChildHealth| {
        fixture.actors.send_replace(Arc::new(BTreeMap::from([
            ("mesh", actor(true, 9, None)),
            ("gossip", gossip),
        ])));
    };
    let second = Duration::from_secs(1);

    for (is_well, gossip) in [
        (true, actor(true, 0, None)),
        (true, actor(false, 1, Some(second))),
        (false, actor(false, 1, Some(6 * second))),
        (false, actor(false, 4, Some(second))),
    ] {
        set(gossip.clone());
        let body = fixture
            .get("/healthz")
            .await
            .ok(if is_well { 200 } else { 503 })
            .json();

        assert_eq!(body["healthy"], is_well);
        assert_eq!(
            body["actors"]["gossip"],
            json!({
                "running": gossip.is_running, "restarts": 1, "last_error": "broke",
            })
        );

        assert_eq!(body["actors"]["mesh"]["running"], true);
    }
}

/// The names of the readiness checks that fail.
async fn failing_checks(fixture: &Fixture) -> Vec<String> {
    let reply = fixture.get("/readyz").await;
    let body = reply.json();
    let checks: Vec<_> = body["checks"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, says)| *says != "ok")
        .map(|(name, _)| name.clone())
        .collect();

    assert_eq!(reply.status == 200, checks.is_empty(), "{body}");
    assert_eq!(body["ready"], checks.is_empty());
    assert_eq!(body["checks"].as_object().unwrap().len(), 7);
    checks
}

#[tokio::test]
async fn readiness_needs_every_check_and_names_the_one_that_fails() {
    let fixture = Fixture::start().await;
    let own = |status_entries| fixture.set_status("us-west-2/node-0", true, status_entries);
    let both = || {
        vec![
            StatusEntry::Certificate(vec![vec![1]]),
            StatusEntry::Holdings(Holdings::default()),
        ]
    };

    let failing = async || failing_checks(&fixture).await;
    assert_eq!(
        failing().await,
        ["catalogues", "gossip", "mesh", "plan", "store"]
    );

    own(vec![StatusEntry::Certificate(vec![vec![1]])]);
    assert_eq!(failing().await, ["catalogues", "mesh", "plan", "store"]);
    own(both());
    assert_eq!(failing().await, ["catalogues", "mesh", "plan"]);
    fixture.snapshots.has_catalogues.send_replace(true);
    fixture.plan();
    assert_eq!(failing().await, ["mesh"]);
    fixture.snapshots.is_current.send_replace(true);
    assert!(failing().await.is_empty());
    fixture.actors.send_replace(Arc::new(BTreeMap::from([(
        "gossip",
        actor(false, 1, Some(Duration::ZERO)),
    )])));

    assert_eq!(failing().await, ["actors"]);
    fixture.actors.send_replace(Arc::default());

    // Without its store an agent stays ready, and reports the outage.
    fixture.snapshots.problems.set(
        ProblemKind::StoreUnavailable,
        "us-west-2",
        "bucket \"models\" does not exist",
    );

    let reply = fixture.read("/readyz").await;
    assert!(
        reply["checks"]["store"]
            .as_str()
            .unwrap()
            .contains("bucket \"models\" does not exist"),
        "{reply}"
    );

    fixture
        .snapshots
        .problems
        .clear(ProblemKind::StoreUnavailable, "us-west-2");
    fixture.drain.send_replace(true);
    assert_eq!(failing().await, ["stopping"]);
}

#[tokio::test]
async fn unknown_paths_and_names_are_refused_in_json() {
    let fixture = Fixture::start().await;
    fixture.get("/v2/health/ready").await.error(404);
    fixture.get("/v1/models/resnet/").await.error(404);
    fixture.get("/v1/models/resnet").await.error(404);
    fixture.get("/v1/models/..%2F..%2Fetc").await.error(400);
    fixture.get("/v1/models/resnet/versions/1").await.error(404);
    fixture
        .get("/v1/models/resnet/versions/..")
        .await
        .error(404);
    fixture
        .get("/v1/models/resnet/versions/%2e%2e%2f")
        .await
        .error(400);
    fixture.get("/v1/models/%ff").await.error(400);

    let wrong_method = fixture
        .send(fixture.http.delete(fixture.url("/v1/status")))
        .await;
    wrong_method.error(405);
    assert_eq!(wrong_method.header("allow"), "GET,HEAD");
    fixture.get("/v1/uploads/1/commit").await.error(405);

    let head = fixture
        .send(
            fixture
                .http
                .request(Method::HEAD, fixture.url("/v1/status")),
        )
        .await
        .ok(200);

    assert!(head.text.is_empty());
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_path() {
    let fixture = Fixture::start().await;
    fixture.get("/verdict/us-west-2").await.ok(200);
    fixture.get("/verdict/mars-1").await.error(404);
    fixture.get("/wp-login.php").await.error(404);

    let reply = fixture.get("/metrics").await.ok(200);
    assert_eq!(
        reply.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );

    for line in [
        r#"regionmesh_api_requests_total{code="200",method="GET",route="/verdict/{region}"} 1"#,
        r#"regionmesh_api_requests_total{code="404",method="GET",route="/verdict/{region}"} 1"#,
        r#"regionmesh_api_requests_total{code="404",method="GET",route="other"} 1"#,
        "regionmesh_api_connections 1",
    ] {
        assert!(reply.text.contains(line), "no {line} in {}", reply.text);
    }

    assert!(!reply.text.contains("mars-1") && !reply.text.contains("wp-login"));
}
