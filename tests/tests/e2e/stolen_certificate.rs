//! What one stolen certificate, one region's store and one poisoned disk are worth: no address
//! outside the configuration is answered, no election ends, no order is taken and no model changes.

use futures::future::join_all;
use regionmesh_protocol::{
    plan::{CommittedPlan, Order, OrderAction, OverrideKind},
    register::{
        acceptor::{AcceptorReply, AcceptorRequest},
        ballot::STEP_MAX,
        members::Incarnation,
    },
    status::{Fact, LeaderFacts},
    wire::{PeerRefusal, PeerReply, PeerRequest},
};
use regionmesh_store::{load_committed_plan, save_committed_plan};
use regionmesh_tests::{
    mesh::TestMesh,
    models::{iris_one, iris_two},
    thief::{EVIL, Thief, acceptor_in, poison_register},
    wait::{claim, seconds, until},
    watch::Watch,
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

/// Every running agent is led by the same living agent, and an order is carried out.
async fn is_led(mesh: &TestMesh, via: usize) {
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
async fn audited(mesh: &TestMesh, index: usize, words: &[&str]) {
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

fn kept(mesh: &TestMesh, index: usize) -> CommittedPlan {
    load_committed_plan(&mesh.agent(index).directory.join("data"))
        .unwrap()
        .unwrap()
}

/// A plan that the thief alone tells of: just later than the last, or as late as can be.
async fn forged_plans_are_not_answered(mesh: &TestMesh, thief: &Thief) {
    let watches: Vec<Watch> = ALL
        .iter()
        .map(|index| Watch::start(mesh.agent(*index).dns()))
        .collect();
    let genuine = kept(mesh, 0);

    for number in [genuine.stamp.ballot.number + 1_000, u64::MAX] {
        let reasons = ["plan-not-committed", "ballot-too-far"];
        let mut before = Vec::new();
        for index in ALL {
            before.push(refusals(mesh, index, &reasons).await);
        }

        let seq = genuine.stamp.seq + 1_000;
        let forged = thief.forge(&genuine.plan, thief.ballot(number), seq);
        thief.tell(&mesh.agent(0).id, Fact::Plan(forged)).await;
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
        let status = mesh.api(0).get("/v1/status").await?.1;
        let problems = status["problems"].as_array().cloned().unwrap_or_default();
        let names = |problem: &Value| {
            problem["kind"] == "peer-refused" && problem["subject"] == thief.id.to_string()
        };

        claim(problems.iter().any(names), || format!("{problems:?}"))
    })
    .await;
}

/// Ballots at the end of all numbers: asked for, told of, and led by.
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

        audited(mesh, index, &["others-ballot", &thief.id.to_string()]).await;
    }

    let facts = LeaderFacts {
        leading: Some(last.clone()),
        highest: Some(last),
    };

    thief.tell(&mesh.agent(0).id, Fact::Leader(facts)).await;
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
    }
}

/// Orders that no operator's token stands behind.
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

        audited(
            mesh,
            index,
            &["no-proof", &thief.id.to_string(), "no token asked for"],
        )
        .await;

        let status = mesh.api(index).get("/v1/failover/status").await.unwrap().1;
        let standing = status["plan"]["overrides"]
            .as_array()
            .cloned()
            .unwrap_or_default();

        assert!(
            standing.iter().all(|standing| standing["by"] != "thief"),
            "{standing:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_agents_certificate_moves_no_traffic_ends_no_election_and_changes_no_model() {
    let mesh = TestMesh::start().await;
    mesh.settled().await;
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.promote_iris(0, "1").await;
    mesh.held_by_all("1").await;

    let thief = Thief::of(&mesh, STOLEN).await;

    forged_plans_are_not_answered(&mesh, &thief).await;
    orders_without_a_token_are_refused_and_audited(&mesh, &thief).await;
    ballots_at_the_end_are_refused(&mesh, &thief).await;
    is_led(&mesh, 1).await;
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

    // Orders of an operator arrive wherever they are given, and say who was told.
    let (leader, _) = mesh.leader(seconds(30)).await;
    let led_from = mesh.region_of(&leader);

    is_led(&mesh, mesh.others(led_from)[0]).await;
    audited(&mesh, led_from, &["order from a peer", "ann"]).await;

    dies_and_is_followed(&mesh, led_from).await;
}

/// The region dies; another leads after it, and DNS follows.
async fn dies_and_is_followed(mesh: &TestMesh, region: usize) {
    let leader = mesh.leader(seconds(30)).await.0;
    mesh.kill_region(region).await;
    if mesh.region_of(&leader) == region {
        mesh.leader_after(&leader, seconds(30)).await;
    }

    let gone = mesh.region(region).to_owned();
    for index in mesh.others(region) {
        until(
            &format!("{} plans without {gone}", mesh.region(index)),
            seconds(30),
            async || {
                let share = mesh.api(index).region(&gone).await?.share;
                claim(share == 0.0, || format!("its share is {share}"))
            },
        )
        .await;

        assert!(!mesh.resolve(index).await.unwrap().contains(&EVIL));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acceptor_taken_as_far_as_it_goes_still_votes_and_none_forgets_what_it_promised() {
    let mesh = TestMesh::start().await;
    mesh.settled().await;

    let thief = Thief::of(&mesh, STOLEN).await;
    let genuine = kept(&mesh, 0);

    // Begin anew, in a register of which nobody here is a member.
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

        assert!(refusals(&mesh, index, &["join-not-decided"]).await > 0.0);
    }

    assert_eq!(acceptors(), before);

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
    is_led(&mesh, taken).await;
    dies_and_is_followed(&mesh, dying).await;
    is_led(&mesh, taken).await;
}

/// The product itself, run elsewhere with the stolen certificate and a token of the thief's own: it
/// publishes another version, says that `production` is that, and deletes the operator's.
async fn models_of_a_thief_are_not_taken_over(mesh: &TestMesh, thief: Thief) {
    let agent = thief.run_the_product().await;
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
    // Whether its own agent deletes a version that others hold is its own affair.
    let deleted = agent
        .post(&format!("{base}/1/delete"), "{}".into())
        .await
        .unwrap();

    println!("the thief deletes iris@1: {deleted:?}");

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

#[tokio::test(flavor = "multi_thread")]
async fn an_address_outside_the_configuration_is_not_answered_after_a_restart_from_a_poisoned_disk()
{
    let mesh = TestMesh::start().await;
    mesh.settled().await;

    let genuine = kept(&mesh, 0);
    join_all(mesh.agents().iter().map(|agent| mesh.kill(&agent.id))).await;

    let mut forged = genuine.clone();
    forged.plan.reason = "forged by one agent".into();
    forged
        .plan
        .regions
        .values_mut()
        .for_each(|region| region.addresses = vec![EVIL]);

    (forged.stamp.ballot.number, forged.stamp.seq) = (u64::MAX, genuine.stamp.seq + 1_000);
    for agent in mesh.agents() {
        save_committed_plan(&agent.directory.join("data"), &forged).unwrap();
    }

    let watches: Vec<Watch> = ALL
        .iter()
        .map(|index| Watch::start(mesh.agent(*index).dns()))
        .collect();

    mesh.start().await.unwrap();
    for index in ALL {
        until(
            &format!("{} has the register's plan again", mesh.region(index)),
            seconds(30),
            async || {
                let plan = mesh.api(index).plan().await?.brief;
                claim(
                    plan.reason != forged.plan.reason && plan.ballot.number < u64::MAX,
                    || format!("{plan:?}"),
                )
            },
        )
        .await;
    }

    is_led(&mesh, 0).await;
    for index in ALL {
        until(
            &format!("{} answers", mesh.region(index)),
            seconds(30),
            async || {
                let answered = mesh.resolve(index).await?;
                claim(!answered.is_empty() && !answered.contains(&EVIL), || {
                    format!("{answered:?}")
                })
            },
        )
        .await;
    }

    for watch in watches {
        let (_, answered) = watch.since(Duration::ZERO);
        assert!(!answered.contains(&EVIL), "{answered:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_slot_costs_its_region_its_vote_until_the_register_is_removed_from_that_store() {
    let mesh = TestMesh::start().await;
    mesh.settled().await;

    let (leader, _) = mesh.leader(seconds(20)).await;
    let led_from = mesh.region_of(&leader);

    // Not the leader's, so that its region may die below.
    let poisoned = mesh.others(led_from)[0];
    let name = mesh.region(poisoned).to_owned();
    let other = mesh.others(led_from)[1];
    let store = mesh.layout().store_directories()[poisoned].clone();
    let mut ballot = kept(&mesh, poisoned).stamp.ballot;

    ballot.number = u64::MAX;
    let lost = poison_register(&store, ballot);

    is_led(&mesh, other).await;
    let is_told = async |index: usize| {
        let status = mesh.api(index).get("/v1/status").await?.1;
        let problems = status["problems"].as_array().cloned().unwrap_or_default();
        let names = |problem: &Value| {
            problem["kind"] == "acceptor-implausible" && problem["subject"] == name
        };

        claim(problems.iter().any(names), || format!("{problems:?}"))
    };

    until("the damage is a problem", seconds(30), async || {
        is_told(other).await
    })
    .await;

    // The documented repair, on the running mesh: the acceptor begins anew and the leader lets it
    // join.
    std::fs::remove_dir_all(store.join("register")).unwrap();
    until(
        "the acceptor votes again, as another",
        seconds(60),
        async || {
            let members = mesh.api(other).get("/v1/failover/members").await?.1;
            let members = members["members"].as_array().cloned().unwrap_or_default();
            let votes = |member: &Value| {
                let acceptor = member["acceptor"].as_str().unwrap_or_default();
                member["member"] == name
                    && member["vote"] == "counts"
                    && acceptor != lost.to_string()
            };

            claim(members.iter().any(votes), || format!("{members:?}"))
        },
    )
    .await;

    until("the problem ends", seconds(60), async || {
        match is_told(other).await {
            Ok(()) => Err("it is still told".to_owned()),
            Err(_) => Ok(()),
        }
    })
    .await;

    // Its vote is needed now: the leader's region dies, and two of three decide.
    mesh.kill_region(led_from).await;
    mesh.leader_after(&leader, seconds(30)).await;

    let gone = mesh.region(led_from).to_owned();
    until("traffic leaves the dead region", seconds(30), async || {
        let share = mesh.api(other).region(&gone).await?.share;
        claim(share == 0.0, || format!("its share is {share}"))
    })
    .await;
}
