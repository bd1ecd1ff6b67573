//! Links that fail silently, as long-distance links do: iptables drops packets between the network
//! namespaces of regions.

use regionmesh::config::Config;
use regionmesh_client::ObservationStatus;
use regionmesh_protocol::status::condition::Condition;
use regionmesh_tests::{
    api::Api,
    converge::{one_leader, until_share},
    mesh::{Setup, TestMesh},
    models::{iris_one, iris_two},
    namespaces::{Network, in_network},
    plans::{PlanLog, share},
    wait::{claim, seconds, until},
    watch::Watch,
};
use std::{collections::BTreeSet, net::IpAddr};

/// Silence is failure after eight seconds, and the agents may have to share their processors.
const SILENCE: std::time::Duration = seconds(40);

/// A watch asks more often than the rate limit on answers allows.
fn unlimited(config: &mut Config) {
    config.dns.rate_limit.responses_per_second = 0;
}

async fn mesh_in(network: &Network) -> TestMesh {
    let mesh = TestMesh::start_with(Setup {
        network: Some(network),
        adjust: Some(unlimited),
        ..Setup::default()
    })
    .await;

    mesh.converged().await;
    mesh
}

/// What `observer` sees of `region`, by the agent of `api`.
async fn observation(api: &Api, observer: &str, region: &str) -> Result<ObservationStatus, String> {
    let seen = api.region(region).await?.observations;
    let of_observer = |seen: &ObservationStatus| seen.observer.starts_with(&format!("{observer}/"));
    seen.into_iter()
        .find(of_observer)
        .ok_or_else(|| format!("nothing from {observer}"))
}

#[test]
fn an_isolated_region_commits_nothing_while_the_majority_plans_without_it() {
    in_network(
        "partition::an_isolated_region_commits_nothing_while_the_majority_plans_without_it",
        3,
        cut_off,
    );
}

async fn cut_off(network: &Network) {
    let mesh = mesh_in(network).await;
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.until_held_by_all("1").await;

    // The leader itself is cut off: the worst case.
    let (old, old_ballot) = mesh.leader(seconds(20)).await;
    let isolated = mesh.region_of(&old);
    let name = mesh.region(isolated);
    let minority = mesh.api(isolated);
    let others = mesh.others(isolated);
    let majority: Vec<Api> = others.iter().map(|region| mesh.api(*region)).collect();
    let log = PlanLog::start(mesh.running_apis());

    let watches = mesh.watch_all();
    let last = minority.plan_seq().await.unwrap();
    let committed = commits(&minority).await;

    others
        .iter()
        .for_each(|other| network.cut(isolated, *other));
    until_share(&majority, name, SILENCE, |share| share == 0.0).await;

    let (next, next_ballot) = one_leader(&majority, SILENCE).await;
    assert!(
        next != old && next_ballot > old_ballot,
        "{next} under {next_ballot} after {old} under {old_ballot}"
    );

    until_it_knows_that_it_is_isolated(&mesh, isolated).await;

    until_isolated_region_answers_all(&watches, isolated).await;

    assert_eq!(
        minority.plan_seq().await.unwrap(),
        last,
        "a plan without a majority"
    );

    assert_eq!(commits(&minority).await, committed);

    assert_majority_answers_without(&mesh, &watches, isolated).await;

    publish_on_both_sides(&mesh, &majority, isolated).await;

    others
        .iter()
        .for_each(|other| network.heal(isolated, *other));
    mesh.assert_returns_by_ramp(isolated, others[0], seconds(90))
        .await;
    mesh.converged().await;
    mesh.leader(seconds(20)).await;
    mesh.until_held_by_all("2").await;
    until_all_know_the_same(&mesh).await;

    let history = log.finish_as_one_history().await;
    println!("{} plans", history.len());
    assert!(
        history
            .iter()
            .any(|plan| plan.brief.ballot.number == next_ballot && share(plan, name) == 0.0)
    );

    for watch in watches {
        watch.finish_without_fault().await;
    }
}

async fn commits(api: &Api) -> f64 {
    api.metric("regionmesh_register_commits_total", &[])
        .await
        .unwrap()
}

/// The other side judges all others failed, and cannot act on it.
async fn until_it_knows_that_it_is_isolated(mesh: &TestMesh, isolated: usize) {
    let name = mesh.region(isolated);
    let minority = mesh.api(isolated);
    until(
        &format!("{name} knows that it is isolated"),
        SILENCE,
        async || {
            for other in mesh.others(isolated) {
                let verdict = minority.region(mesh.region(other)).await?.verdict;
                claim(verdict == Condition::Failed, || {
                    format!("{} is {verdict}", mesh.region(other))
                })?;
            }

            let leads = minority.metric("regionmesh_leader_is_leader", &[]).await?;
            claim(leads == 0.0, || format!("{name} still leads"))
        },
    )
    .await;
}

async fn until_isolated_region_answers_all(watches: &[Watch], isolated: usize) {
    let begin = watches[isolated].now();
    until(
        "all regions are answered by the isolated one",
        seconds(60),
        async || {
            watches[isolated].more(100).await;
            let (_, answered) = watches[isolated].since(begin);
            claim(answered.len() == 3, || format!("{answered:?}"))
        },
    )
    .await;
}

async fn assert_majority_answers_without(mesh: &TestMesh, watches: &[Watch], isolated: usize) {
    let address = IpAddr::from(mesh.agent(isolated).ip);
    for other in mesh.others(isolated) {
        let api = mesh.api(other);
        let begin = watches[other].now();
        watches[other].more(100).await;

        let (count, answered) = watches[other].since(begin);
        assert!(
            count >= 100 && !answered.contains(&address),
            "{} answered {answered:?}",
            api.url()
        );
    }
}

/// Both sides accept models during the partition.
async fn publish_on_both_sides(mesh: &TestMesh, majority: &[Api], isolated: usize) {
    let minority = mesh.api(isolated);
    mesh.publish_iris(mesh.others(isolated)[0], "2", iris_two())
        .await;

    let (code, answer) = minority
        .publish("lone", "1", &[("model.onnx", iris_one())])
        .await
        .unwrap();

    assert_eq!(code, 200, "{answer}");
    until(
        "the two that are together share it",
        seconds(30),
        async || {
            let holders = majority[1].holders("iris", "2").await?;
            claim(holders.len() == 2, || format!("{holders:?}"))
        },
    )
    .await;

    assert_eq!(
        minority.get("/v1/models/iris/versions/2").await.unwrap().0,
        404
    );

    assert_eq!(
        majority[0]
            .get("/v1/models/lone/versions/1")
            .await
            .unwrap()
            .0,
        404
    );
}

async fn until_all_know_the_same(mesh: &TestMesh) {
    for api in mesh.running_apis() {
        until(
            &format!("the isolated region's model, seen from {}", api.url()),
            seconds(30),
            async || {
                let holders = api.holders("lone", "1").await?;
                claim(holders.len() == 3, || format!("{holders:?}"))
            },
        )
        .await;
    }

    until("one plan for all", seconds(20), async || {
        let mut plans = BTreeSet::new();
        for api in mesh.running_apis() {
            let plan = api.plan().await?;
            plans.insert((
                plan.brief.ballot.number,
                plan.brief.ballot.agent,
                plan.brief.seq,
            ));
        }

        claim(plans.len() == 1, || format!("{plans:?}"))
    })
    .await;
}

#[test]
fn a_lost_link_between_two_of_three_regions_moves_no_traffic_and_no_leader() {
    in_network(
        "partition::a_lost_link_between_two_of_three_regions_moves_no_traffic_and_no_leader",
        3,
        link_lost,
    );
}

/// Probes of each end by the other after both were found silent.
const MORE_PROBES: f64 = 10.0;

async fn link_lost(network: &Network) {
    let mesh = mesh_in(network).await;
    let (leader, ballot) = mesh.leader(seconds(20)).await;
    let ends = [
        mesh.region_of(&leader),
        mesh.others(mesh.region_of(&leader))[0],
    ];
    let candidacies_before = candidacies(&mesh).await;
    let log = PlanLog::start(mesh.running_apis());
    let watches = mesh.watch_all();

    network.cut(ends[0], ends[1]);
    for [here, there] in [ends, [ends[1], ends[0]]] {
        until_found_silent(&mesh, here, there).await;
    }

    // Every agent still judges every region healthy, and what one end publishes reaches the other
    // by way of the third.
    assert_all_are_judged_healthy(&mesh).await;

    mesh.publish_iris(ends[0], "1", iris_one()).await;
    mesh.until_held_by_all("1").await;

    let (_, last_ballot) = mesh.leader(seconds(20)).await;
    let more_candidacies = candidacies(&mesh).await - candidacies_before;
    println!("ballot {ballot}, then {last_ballot}; {more_candidacies} candidacies");
    assert!(
        last_ballot <= ballot + 1 && more_candidacies <= 1.0,
        "{ballot}, then {last_ballot}; {more_candidacies} candidacies"
    );

    network.heal(ends[0], ends[1]);
    until_link_is_back(&mesh, ends).await;

    mesh.converged().await;
    for plan in log.finish_as_one_history().await {
        let is_even = mesh
            .layout()
            .regions
            .iter()
            .all(|name| (share(&plan, name.as_str()) - 1.0 / 3.0).abs() < 0.001);

        assert!(
            is_even,
            "plan {} moved traffic: {}",
            plan.brief.seq, plan.brief.reason
        );
    }

    for watch in watches {
        watch.finish_without_fault().await;
    }
}

async fn candidacies(mesh: &TestMesh) -> f64 {
    let mut sum = 0.0;
    for api in mesh.running_apis() {
        sum += api
            .metric("regionmesh_leader_elections_total", &["outcome=\"stood\""])
            .await
            .unwrap();
    }

    sum
}

async fn until_found_silent(mesh: &TestMesh, here: usize, there: usize) {
    let api = mesh.api(here);
    let [from, to] = [here, there].map(|region| mesh.region(region));
    until(&format!("{from} finds {to} silent"), SILENCE, async || {
        let seen = observation(&api, from, to).await?;
        claim(seen.condition == Condition::Failed, || {
            format!("{} ({})", seen.condition, seen.evidence)
        })
    })
    .await;

    let label = format!("region=\"{to}\"");
    let probes = async || {
        api.metric("regionmesh_probes_total", &[&label, "outcome=\"silence\""])
            .await
    };
    let begin = probes().await.unwrap();

    until(&format!("{from} probes {to} on"), SILENCE, async || {
        let more = probes().await? - begin;
        claim(more >= MORE_PROBES, || format!("{more} more"))
    })
    .await;
}

async fn assert_all_are_judged_healthy(mesh: &TestMesh) {
    for api in mesh.running_apis() {
        for region in api.status().await.unwrap().regions {
            assert_eq!(
                region.verdict,
                Condition::Healthy,
                "{} of {}: {}",
                api.url(),
                region.region,
                region.verdict_reason
            );
        }
    }
}

async fn until_link_is_back(mesh: &TestMesh, ends: [usize; 2]) {
    let api = mesh.api(ends[1]);
    until("the link is back", seconds(60), async || {
        let seen = observation(&api, mesh.region(ends[1]), mesh.region(ends[0])).await?;
        claim(seen.condition == Condition::Healthy, || {
            format!("{} ({})", seen.condition, seen.evidence)
        })?;

        let unreachable = api
            .metric("regionmesh_mesh_unreachable_regions", &[])
            .await?;
        claim(unreachable == 0.0, || {
            format!("{unreachable} regions unreachable")
        })
    })
    .await;
}
