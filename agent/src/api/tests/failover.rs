//! `/v1/failover` from scripted snapshots, and with a leader that does what the protocol says.

use super::*;
use crate::actors::messages::CoreMessage;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use regionmesh_core::{
    planning::{PlanInputs, RegionInput, Strategy, plan_order},
    recovery::{canary::Evidence, ramp::RecoveryPolicy},
};
use regionmesh_protocol::{
    status::{Observations, condition::Observation},
    wire::OrderRefusal,
};
use regionmesh_store::{History, PastPlan};

/// Answers every order immediately, as a leader with a majority would.
struct Leader;

impl Actor for Leader {
    type Msg = CoreMessage;
    type State = Snapshots;
    type Arguments = Snapshots;

    async fn pre_start(
        &self,
        _: ActorRef<CoreMessage>,
        snapshots: Snapshots,
    ) -> Result<Snapshots, ActorProcessingErr> {
        Ok(snapshots)
    }

    async fn handle(
        &self,
        _: ActorRef<CoreMessage>,
        message: CoreMessage,
        snapshots: &mut Snapshots,
    ) -> Result<(), ActorProcessingErr> {
        let CoreMessage::Order(order, reply) = message else {
            return Ok(());
        };
        let current = snapshots.plan.borrow().clone();
        let inputs = snapshots.plan_inputs.borrow().clone().unwrap();
        let plan = plan_order(
            current.as_deref().map(|known| &known.plan),
            &order,
            &inputs,
            1_000,
        );

        let mut stamp = current.unwrap().stamp.clone();
        stamp.seq += 1;

        let committed = plan.map(|plan| CommittedPlan {
            stamp,
            plan,
            certificate: Default::default(),
        });
        if let Ok(committed) = &committed {
            snapshots
                .plan
                .send_replace(Some(Arc::new(committed.clone())));
        }

        let _ = reply.send(committed.map_err(OrderRefusal::from));
        Ok(())
    }
}

impl Fixture {
    /// The inputs of [`Fixture::plan`]: every region is healthy except ap-south-1, which failed.
    fn inputs(&self) {
        let input = |(index, (region, ip)): (usize, &(&str, &str))| {
            let condition = if *region == "ap-south-1" {
                Condition::Failed
            } else {
                Condition::Healthy
            };
            let input = RegionInput {
                weight_bp: 10_000,
                priority: index as u16,
                addresses: vec![ip.parse().unwrap()],
                condition,
                since_ms: 0,
                reason: "connection refused".into(),
                is_complete: true,
                is_loaded: true,
                inference_passes: None,
                measured_capacity_rps: None,
                capacity_rps: None,
                load_rps: None,
                evidence: Evidence::NotMeasured,
            };

            (region.parse().unwrap(), input)
        };

        let inputs = PlanInputs {
            regions: REGIONS.iter().enumerate().map(input).collect(),
            strategy: Strategy::Weighted,
            suspect_percent: 10,
            recovery: RecoveryPolicy::default(),
            max_out: 1,
            ttl_ms: 5_000,
            cost: None,
        };

        self.snapshots
            .plan_inputs
            .send_replace(Some(Arc::new(inputs)));
    }

    /// Makes this agent the leader.
    async fn lead(&self) {
        self.plan();
        self.inputs();

        let (leader, _) = Actor::spawn(None, Leader, self.snapshots.clone())
            .await
            .unwrap();
        self.api.orders.core.occupy(leader);
        self.snapshots
            .leader
            .send_modify(|view| view.is_self = true);
    }

    /// Gives an order; by ann, unless the body names an author.
    async fn order(&self, what: &str, mut body: Value) -> Reply {
        if body.get("by").is_none() && what != "what-if" {
            body["by"] = "ann".into();
        }
        self.post(&format!("/v1/failover/{what}"), body.to_string())
            .await
    }
}

#[tokio::test]
async fn an_order_without_a_leader_is_refused_for_now_and_changes_nothing() {
    let fixture = Fixture::start().await;
    let refused = fixture
        .order("drain", json!({ "region": "us-west-2" }))
        .await;
    refused.refused(503, "no leader is known");

    // A leader that is not connected.
    fixture.plan();

    let refused = fixture
        .order("drain", json!({ "region": "us-west-2" }))
        .await;
    refused.refused(503, "the leader can't be reached");
}

#[tokio::test]
async fn a_drain_returns_the_committed_plan_and_is_listed_in_the_status() {
    let fixture = Fixture::start().await;
    fixture.lead().await;

    let body =
        json!({ "region": "eu-west-1", "by": "ann", "why": "maintenance", "for_ms": 60_000 });
    let done = fixture.order("drain", body).await.ok(200).json();

    assert!(
        done["done"]
            .as_str()
            .unwrap()
            .starts_with("ordered: drain of eu-west-1 by ann (maintenance)"),
        "{done}"
    );

    let eu = |plan: &Value| {
        plan["regions"]
            .as_array()
            .unwrap()
            .iter()
            .find(|r| r["region"] == "eu-west-1")
            .cloned()
    };

    assert_eq!(eu(&done["plan"]).unwrap()["share"], 0.0);
    let status = fixture.read("/v1/failover/status").await;
    let order = &status["plan"]["overrides"][0];

    assert_eq!(
        (&order["kind"], &order["by"], &order["expires_ms"]),
        (&json!("drain"), &json!("ann"), &json!(61_000))
    );

    fixture
        .order("restore", json!({ "region": "eu-west-1" }))
        .await
        .ok(200);
    fixture.order("hold", json!({})).await.ok(200);
    fixture
        .order("promote", json!({ "region": "us-west-2" }))
        .await
        .ok(200);
}

#[tokio::test]
async fn each_kind_of_invalid_order_gets_its_own_answer() {
    let fixture = Fixture::start().await;
    fixture.lead().await;
    for (what, body, code) in [
        ("drain", json!({ "region": "EU" }), 400),
        ("drain", json!({ "region": "nowhere" }), 404),
        ("drain", json!({}), 400),
        ("drain", json!({ "region": "eu-west-1", "for_ms": 1 }), 400),
        (
            "drain",
            json!({ "region": "eu-west-1", "by": "x".repeat(200) }),
            400,
        ),
        ("drain", json!({ "region": "eu-west-1", "forms": 1 }), 400),
        ("restore", json!({ "region": "eu-west-1" }), 404),
        ("promote", json!({ "region": "ap-south-1" }), 409),
    ] {
        fixture.order(what, body).await.error(code);
    }

    let why = fixture
        .order("promote", json!({ "region": "ap-south-1" }))
        .await
        .error(409);

    assert!(
        why.contains("its verdict is failed: connection refused"),
        "{why}"
    );

    let status = fixture.read("/v1/failover/status").await;
    assert_eq!(status["plan"]["overrides"], json!([]));
}

#[tokio::test]
async fn what_if_predicts_the_plan_and_changes_nothing() {
    let fixture = Fixture::start().await;
    fixture.order("what-if", json!({})).await.error(503);
    fixture.plan();
    fixture.inputs();

    let before = fixture.snapshots.plan.borrow().clone();
    let answer = fixture
        .order("what-if", json!({ "assume": { "us-west-2": "failed" } }))
        .await
        .ok(200)
        .json();

    assert_eq!(answer["would_change"], true);
    assert!(
        answer["reason"]
            .as_str()
            .unwrap()
            .contains("us-west-2: failed: as assumed"),
        "{answer}"
    );

    assert_eq!(fixture.snapshots.plan.borrow().clone(), before);
    fixture
        .order("what-if", json!({ "assume": { "nowhere": "failed" } }))
        .await
        .error(404);
    fixture
        .order("what-if", json!({ "assume": { "us-west-2": "sleepy" } }))
        .await
        .error(400);
}

/// A plan because of a failed region, with observations, an own report and one past plan.
fn fail_region(fixture: &Fixture) {
    fixture.plan();
    fixture.inputs();
    fixture.set_verdict("ap-south-1", Condition::Failed);

    let seen = Observation {
        region: "ap-south-1".parse().unwrap(),
        condition: Condition::Failed,
        is_definite: false,
        evidence: "connection refused".into(),
        since_ms: 5,
        round_trip_us: None,
        addresses: Vec::new(),
    };

    let observed = Observations {
        regions: vec![seen],
        ..Observations::default()
    };

    fixture.set_status(
        "eu-west-1/node-0",
        true,
        vec![StatusEntry::Observations(observed)],
    );
    let own = Observations {
        own: Some(Condition::Failed),
        ..Observations::default()
    };

    fixture.set_status(
        "ap-south-1/node-0",
        true,
        vec![StatusEntry::Observations(own)],
    );
    let committed = (**fixture.snapshots.plan.borrow().as_ref().unwrap()).clone();
    History::open(&fixture.api.config.data_dir)
        .unwrap()
        .add(&PastPlan {
            seen_ms: 9,
            committed,
        })
        .unwrap();
}

#[tokio::test]
async fn an_explanation_names_observers_votes_own_reports_and_past_plans() {
    let fixture = Fixture::start().await;
    fixture.get("/v1/failover/explain/nowhere").await.error(404);
    fail_region(&fixture);

    let answer = fixture.read("/v1/failover/explain/ap-south-1").await;

    assert_eq!(
        answer["region"]["votes"],
        json!([{ "region": "eu-west-1", "condition": "failed" }])
    );

    assert_eq!(
        answer["region"]["observations"][0]["observer"],
        "eu-west-1/node-0"
    );

    assert_eq!(
        answer["region"]["observations"][0]["evidence"],
        "connection refused"
    );

    assert_eq!(answer["own_reports"][0]["condition"], "failed");
    assert_eq!(
        answer["reasons"],
        json!([{ "seen_ms": 9, "seq": 12, "reason": "ap-south-1 failed" }])
    );

    let history = fixture.read("/v1/failover/history").await;
    assert_eq!(history["plans"][0]["plan"]["seq"], 12);
}

#[tokio::test]
async fn an_order_that_would_replace_anothers_is_refused_with_a_code_and_force_replaces_it() {
    let fixture = Fixture::start().await;
    fixture.lead().await;
    fixture
        .order(
            "drain",
            json!({ "region": "eu-west-1", "why": "disks", "for_ms": 7_200_000 }),
        )
        .await
        .ok(200);

    let body = json!({ "region": "eu-west-1", "by": "bob", "why": "look" });
    let refused = fixture.order("hold", body.clone()).await;
    let why = refused.error(409);

    assert!(
        why.contains("would replace the drain of eu-west-1 by ann (disks), 2 h left"),
        "{why}"
    );

    assert_eq!(refused.json()["code"], "would-replace");
    let mut forced = body;
    forced["force"] = true.into();

    let done = fixture.order("hold", forced).await.ok(200).json();
    assert!(
        done["done"]
            .as_str()
            .unwrap()
            .contains("which replaces the drain of eu-west-1 by ann"),
        "{done}"
    );

    let orders = fixture.read("/v1/status").await["orders"].clone();
    assert_eq!(
        (&orders[0]["kind"], &orders[0]["by"], &orders[1]),
        (&json!("hold"), &json!("bob"), &Value::Null)
    );
}

#[tokio::test]
async fn the_last_region_that_can_serve_is_drained_only_by_force() {
    let fixture = Fixture::start().await;
    fixture.lead().await;
    fixture
        .order("drain", json!({ "region": "eu-west-1" }))
        .await
        .ok(200);

    let refused = fixture
        .order("drain", json!({ "region": "us-west-2" }))
        .await;
    refused.refused(409, "drained in name only");

    assert_eq!(refused.json()["code"], "last-serving-region");
    let done = fixture
        .order("drain", json!({ "region": "us-west-2", "force": true }))
        .await
        .ok(200)
        .json();

    assert!(
        done["done"].as_str().unwrap().contains("keeps its traffic"),
        "{done}"
    );
}

#[tokio::test]
async fn the_author_of_an_order_is_the_tokens_name_or_must_be_given() {
    let fixture = Fixture::start().await;
    fixture.lead().await;

    let unnamed = fixture
        .post("/v1/failover/hold", r#"{"region": "eu-west-1"}"#)
        .await;
    unnamed.refused(400, "who gives it");

    assert_eq!(unnamed.json()["code"], "by-required");
    std::fs::write(
        fixture.token_file(),
        format!("# operators\ncarol carols-token\n{TOKEN}\n"),
    )
    .unwrap();

    let carol = fixture
        .http
        .post(fixture.url("/v1/failover/hold"))
        .bearer_auth("carols-token");
    let body = r#"{"region": "eu-west-1", "by": "root"}"#;
    let done = fixture
        .send(carol.header("content-type", "application/json").body(body))
        .await
        .ok(200)
        .json();

    assert_eq!(done["plan"]["overrides"][0]["by"], "carol");
    fixture
        .send(
            fixture
                .http
                .post(fixture.url("/v1/failover/hold"))
                .bearer_auth("carol"),
        )
        .await
        .error(403);
}
