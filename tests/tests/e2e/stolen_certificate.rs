//! What an attacker can do with one stolen certificate, one region's store or one poisoned disk: no
//! address outside the configuration is answered, no term ends, no order is taken and no model
//! changes.

mod poisoned;

use regionmesh_protocol::{
    plan::{CommittedPlan, Order, OrderAction, OverrideKind},
    register::{
        acceptor::{AcceptorReply, AcceptorRequest},
        ballot::STEP_MAX,
        members::Incarnation,
    },
    status::{LeaderStatus, StatusEntry},
    wire::{PeerRefusal, PeerReply, PeerRequest},
};
use regionmesh_store::load_committed_plan;
use regionmesh_tests::{
    converge::until_share,
    mesh::TestMesh,
    models::{iris_one, iris_two},
    thief::{EVIL, Thief, ThievesAgent, acceptor_in},
    wait::{claim, seconds, until},
};
use serde_json::{Value, json};
use std::time::Duration;

const ALL: [usize; 3] = [0, 1, 2];
/// The region whose agent's certificate is stolen.
const STOLEN: usize = 2;

/// How often region `index` refused something for one of `reasons`.
async fn refusals(mesh: &TestMesh, index: usize, reasons: &[&str]) -> f64 {
    let mut sum = 0.0;
    for reason in reasons {
        let label = format!("reason=\"{reason}\"");
        sum += mesh
            .api(index)
            .metric("regionmesh_peer_refusals_total", &[&label])
            .await
            .unwrap();
    }

    sum
}

/// Every running agent knows the same live leader, and an order is carried out.
async fn assert_led(mesh: &TestMesh, via: usize) {
    mesh.leader(seconds(30)).await;
    let region = mesh.region(via).to_owned();
    until("an order is carried out", seconds(30), async || {
        let order = json!({ "region": region, "by": "ann", "why": "probe", "for_ms": 2_000 });
        let (code, answer) = mesh.api(via).post("/v1/failover/hold", &order).await?;
        claim(code == 200, || format!("{code}: {answer}"))
    })
    .await;
}

/// Waits for a line of an agent's log that the audit wrote and that holds all of `words`.
async fn until_audited(mesh: &TestMesh, index: usize, words: &[&str]) {
    until(
        &format!("{} audits {words:?}", mesh.region(index)),
        seconds(10),
        async || {
            let log = std::fs::read_to_string(&mesh.agent(index).log_file)
                .map_err(|error| error.to_string())?;
            let lines: Vec<&str> = log
                .lines()
                .filter(|line| line.contains("regionmesh::audit"))
                .collect();
            let is_found = lines
                .iter()
                .any(|line| words.iter().all(|word| line.contains(word)));

            claim(is_found, || {
                format!("{} lines: {:?}", lines.len(), lines.last())
            })
        },
    )
    .await;
}

fn committed_plan_of(mesh: &TestMesh, index: usize) -> CommittedPlan {
    load_committed_plan(&mesh.agent(index).directory.join("data"))
        .unwrap()
        .unwrap()
        .committed
}

/// A plan that the thief alone publishes: just later than the last, or as late as can be.
async fn forged_plans_are_not_answered(mesh: &TestMesh, thief: &Thief) {
    let watches = mesh.watch_all();
    let genuine = committed_plan_of(mesh, 0);

    for number in [genuine.stamp.ballot.number + 1_000, u64::MAX] {
        let reasons = ["plan-not-committed", "ballot-too-far"];
        let mut before = Vec::new();
        for index in ALL {
            before.push(refusals(mesh, index, &reasons).await);
        }

        let seq = genuine.stamp.seq + 1_000;
        let forged = thief.forge(&genuine.plan, thief.ballot(number), seq);
        thief
            .publish(&mesh.agent(0).id, StatusEntry::Plan(forged))
            .await;
        for index in ALL {
            until(
                &format!("{} refuses the plan", mesh.region(index)),
                seconds(30),
                async || {
                    let now = refusals(mesh, index, &reasons).await;
                    claim(now > before[index], || format!("{now} refusals"))
                },
            )
            .await;

            let plan = mesh.api(index).plan().await.unwrap();
            assert!(
                plan.brief.seq < seq && plan.brief.reason != "forged by one agent",
                "{:?}",
                plan.brief
            );
        }
    }

    for (index, watch) in watches.iter().enumerate() {
        let (_, answered) = watch.since(Duration::ZERO);
        assert!(
            !answered.is_empty() && !answered.contains(&EVIL),
            "{}: {answered:?}",
            mesh.region(index)
        );
    }

    until("the refusals are a problem", seconds(30), async || {
        let problems = mesh.api(0).problems("peer-refused").await?;
        let names = |problem: &Value| problem["subject"] == thief.id.to_string();

        claim(problems.iter().any(names), || format!("{problems:?}"))
    })
    .await;
}

/// The highest ballots: requested, published, and led by.
async fn ballots_at_the_end_are_refused(mesh: &TestMesh, thief: &Thief) {
    let last = thief.ballot(u64::MAX);
    for index in ALL {
        let to = &mesh.agent(index).id;
        let asked = PeerRequest::Acceptor(AcceptorRequest::Prepare(last.clone()));
        match thief.call(to, asked).await {
            PeerReply::Acceptor(answer) => assert!(
                matches!(answer.reply, AcceptorReply::TooFar(_)),
                "{answer:?}"
            ),
            other => panic!("{other:?}"),
        }

        let mut others = thief.ballot(1_000);
        others.agent = mesh.agent(0).id.clone();

        let refused = thief
            .call(to, PeerRequest::Acceptor(AcceptorRequest::Prepare(others)))
            .await;
        assert!(
            matches!(
                refused,
                PeerReply::Refused(PeerRefusal::OthersBallot { .. })
            ),
            "{refused:?}"
        );

        until_audited(mesh, index, &["others-ballot", &thief.id.to_string()]).await;
    }

    let status_entries = LeaderStatus {
        leading: Some(last.clone()),
        highest: Some(last),
    };

    thief
        .publish(&mesh.agent(0).id, StatusEntry::Leader(status_entries))
        .await;
}

fn order(kind: OverrideKind, region: &str) -> Order {
    Order {
        action: OrderAction::Set(kind),
        region: Some(region.parse().unwrap()),
        by: "thief".into(),
        why: "no token asked for".into(),
        for_ms: 3_600_000,
        is_forced: false,
        is_immediate: false,
        proof: None,
    }
}

/// Orders without an operator's token.
async fn orders_without_a_token_are_refused_and_audited(mesh: &TestMesh, thief: &Thief) {
    for index in ALL {
        let order = order(OverrideKind::Drain, mesh.region(index));
        let refused = thief
            .call(
                &mesh.agent(index).id,
                PeerRequest::Order {
                    order,
                    hops_left: 2,
                },
            )
            .await;

        assert!(
            matches!(refused, PeerReply::Refused(PeerRefusal::NoProof)),
            "{refused:?}"
        );

        until_audited(
            mesh,
            index,
            &["no-proof", &thief.id.to_string(), "no token asked for"],
        )
        .await;

        let status = mesh.api(index).get("/v1/failover/status").await.unwrap().1;
        let orders = status["plan"]["overrides"]
            .as_array()
            .cloned()
            .unwrap_or_default();

        assert!(
            orders.iter().all(|order| order["by"] != "thief"),
            "{orders:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stolen_certificate_moves_no_traffic_ends_no_term_and_changes_no_model() {
    let mesh = TestMesh::start().await;
    mesh.converged().await;
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.promote_iris(0, "1").await;
    mesh.until_held_by_all("1").await;

    let thief = Thief::of(&mesh, STOLEN).await;

    forged_plans_are_not_answered(&mesh, &thief).await;
    orders_without_a_token_are_refused_and_audited(&mesh, &thief).await;
    ballots_at_the_end_are_refused(&mesh, &thief).await;
    assert_led(&mesh, 1).await;
    models_of_a_thief_are_not_taken_over(&mesh, thief).await;

    // The thief is gone; its region's own acceptor has the vote, which is needed below.
    let store = mesh.layout().store_directories()[STOLEN].clone();
    until("the region's own acceptor votes", seconds(60), async || {
        let members = mesh.api(0).get("/v1/failover/members").await?.1;
        let members = members["members"].as_array().cloned().unwrap_or_default();
        let own = acceptor_in(&store).to_string();
        let votes = |member: &Value| {
            member["member"] == mesh.region(STOLEN)
                && member["vote"] == "counts"
                && member["acceptor"] == own
        };

        claim(members.iter().any(votes), || format!("{own}: {members:?}"))
    })
    .await;

    // Orders of an operator reach the leader from any agent, and are audited there.
    let (leader, _) = mesh.leader(seconds(30)).await;
    let led_from = mesh.region_of(&leader);

    assert_led(&mesh, mesh.others(led_from)[0]).await;
    until_audited(&mesh, led_from, &["order from a peer", "ann"]).await;

    kill_and_await_failover(&mesh, led_from).await;
}

/// The region dies; another agent leads, and DNS leaves the region.
async fn kill_and_await_failover(mesh: &TestMesh, region: usize) {
    let leader = mesh.leader(seconds(30)).await.0;
    mesh.kill_region(region).await;
    if mesh.region_of(&leader) == region {
        mesh.leader_after(&leader, seconds(30)).await;
    }

    let gone = mesh.region(region);
    for index in mesh.others(region) {
        until_share(&[mesh.api(index)], gone, seconds(30), |share| share == 0.0).await;
        assert!(!mesh.resolve(index).await.unwrap().contains(&EVIL));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_cannot_exhaust_an_acceptors_ballots_or_reset_its_promises() {
    let mesh = TestMesh::start().await;
    mesh.converged().await;

    let thief = Thief::of(&mesh, STOLEN).await;
    let genuine = committed_plan_of(&mesh, 0);

    assert_joins_are_not_decided(&mesh, &thief, &genuine).await;

    // One acceptor, further with each request, as long as it goes along; the others are then short
    // of its vote.
    let dying = 0;
    let taken = 1;
    let mut promised = 0;

    for step in 1..=3 {
        let ballot = thief.ballot(genuine.stamp.ballot.number + step * STEP_MAX);
        let request = PeerRequest::Acceptor(AcceptorRequest::Prepare(ballot));
        match thief.call(&mesh.agent(taken).id, request).await {
            PeerReply::Acceptor(answer) => {
                promised += usize::from(matches!(answer.reply, AcceptorReply::Promised { .. }));
            }
            other => panic!("{other:?}"),
        }
    }

    assert!(promised <= 1, "it went {promised} steps");
    assert_led(&mesh, taken).await;
    kill_and_await_failover(&mesh, dying).await;
    assert_led(&mesh, taken).await;
}

/// The thief asks all acceptors to start over, in a register of which no agent here is a member.
async fn assert_joins_are_not_decided(mesh: &TestMesh, thief: &Thief, genuine: &CommittedPlan) {
    let acceptors = || {
        mesh.layout()
            .store_directories()
            .iter()
            .map(|store| acceptor_in(store))
            .collect::<Vec<_>>()
    };
    let before = acceptors();

    let mut forged = thief.forge(
        &genuine.plan,
        thief.ballot(genuine.stamp.ballot.number + 1),
        genuine.stamp.seq + 1,
    );

    forged
        .plan
        .members
        .acceptors
        .values_mut()
        .for_each(|counted| *counted = Some(Incarnation(66)));

    for index in ALL {
        let request =
            AcceptorRequest::Join(Incarnation(67), forged.stamp.clone(), forged.plan.clone());
        let reply = thief
            .call(&mesh.agent(index).id, PeerRequest::Acceptor(request))
            .await;
        let PeerReply::Acceptor(answer) = reply else {
            panic!("{reply:?}")
        };

        assert!(
            matches!(answer.reply, AcceptorReply::Undecided(_)),
            "{answer:?}"
        );

        assert!(refusals(mesh, index, &["join-not-decided"]).await > 0.0);
    }

    assert_eq!(acceptors(), before);
}

/// The product itself, run elsewhere with the stolen certificate and a token of the thief's own: it
/// publishes another version, says that `production` is that, and deletes the operator's.
async fn models_of_a_thief_are_not_taken_over(mesh: &TestMesh, thief: Thief) {
    let agent = thief.run_the_product().await;
    publish_promote_and_delete(&agent).await;

    let refused = ["answer-not-proven", "wrong-proof"];
    for index in [0, 1] {
        let begin = refusals(mesh, index, &refused).await;
        until(
            &format!("{} refuses the thief's catalogue", mesh.region(index)),
            seconds(60),
            async || {
                // Asked for twice after all was done.
                let now = refusals(mesh, index, &refused).await;
                claim(now >= begin + 2.0, || {
                    format!("{now} refusals, {begin} before")
                })
            },
        )
        .await;

        let store = &mesh.layout().store_directories()[index];
        assert!(!store.join("models/iris/9").exists(), "{}", store.display());
        assert!(
            store.join("models/iris/1/model.onnx").exists(),
            "{}",
            store.display()
        );

        let (code, models) = mesh.api(index).get("/v1/models/iris").await.unwrap();
        let named = models["aliases"].as_array().cloned().unwrap_or_default();
        let is_ours = named
            .iter()
            .all(|alias| alias["alias"] != "production" || alias["version"] == "1");

        assert!(code == 200 && is_ours && !named.is_empty(), "{named:?}");
    }
}

async fn publish_promote_and_delete(agent: &ThievesAgent) {
    let base = "/v1/models/iris/versions";
    let upload = until("the thief publishes at home", seconds(60), async || {
        let (code, begun) = agent
            .post(&format!("{base}/9/uploads"), "{}".into())
            .await?;
        claim(code == 201, || format!("{code}: {begun}"))?;
        Ok(begun["upload"].as_str().ok_or("no upload")?.to_owned())
    })
    .await;

    let (code, added) = agent
        .post(
            &format!("/v1/uploads/{upload}/files?path=model.onnx"),
            iris_two().into(),
        )
        .await
        .unwrap();

    assert_eq!(code, 201, "{added}");
    let (code, done) = agent
        .post(&format!("/v1/uploads/{upload}/commit"), "{}".into())
        .await
        .unwrap();

    assert_eq!(code, 200, "{done}");
    let (code, done) = agent
        .post(
            &format!("{base}/9/promote"),
            r#"{"alias":"production","by":"thief","force":true}"#.into(),
        )
        .await
        .unwrap();

    assert_eq!(code, 200, "{done}");
    // Whether its own agent deletes a version that others hold does not matter.
    let deleted = agent
        .post(&format!("{base}/1/delete"), "{}".into())
        .await
        .unwrap();

    println!("the thief deletes iris@1: {deleted:?}");
}
