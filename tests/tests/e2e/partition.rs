//! Links that fail silently, as long-distance links do: iptables drops packets between the network
//! namespaces of regions.

use regionmesh::config::Config;
use regionmesh_client::ObservationStatus;
use regionmesh_protocol::status::condition::Condition;
use regionmesh_tests::{
    api::Api,
    mesh::{Setup, TestMesh},
    models::{iris_one, iris_two},
    namespaces::{Network, in_network},
    plans::{PlanLog, share},
    settle::one_leader,
    wait::{claim, seconds, until},
    watch::Watch,
};
use std::{collections::BTreeSet, net::IpAddr};

/// Silence is failure after eight seconds, and the agents may have to share their processors.
const SILENCE: std::time::Duration = seconds(40);

/// A watch asks more often than the limit on answers allows to a stranger.
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

    mesh.settled().await;
    mesh
}

/// What the agent behind `api` says that `observer` sees of `region`.
async fn observation(api: &Api, observer: &str, region: &str) -> Result<ObservationStatus, String> {
    let seen = api.region(region).await?.observations;
    let of_observer = |seen: &ObservationStatus| seen.observer.starts_with(&format!("{observer}/"));
    seen.into_iter()
        .find(of_observer)
        .ok_or_else(|| format!("nothing from {observer}"))
}

#[test]
fn a_region_cut_off_commits_nothing_and_answers_its_last_plan_while_the_others_go_on_without_it() {
    in_network(
        "partition::a_region_cut_off_commits_nothing_and_answers_its_last_plan_while_the_others_go_on_without_it",
        3,
        cut_off,
    );
}

async fn cut_off(network: &Network) {
    let mesh = mesh_in(network).await;
    mesh.publish_iris(0, "1", iris_one()).await;
    mesh.held_by_all("1").await;

    // The leader itself is cut off: the worst case.
    let (old, old_ballot) = mesh.leader(seconds(20)).await;
    let lone = mesh.region_of(&old);
    let name = mesh.region(lone);
    let address = IpAddr::from(mesh.agent(lone).ip);
    let lonely = mesh.api(lone);
    let others = mesh.others(lone);
    let majority: Vec<Api> = others.iter().map(|region| mesh.api(*region)).collect();
    let log = PlanLog::start(mesh.running_apis());

    let watches: Vec<Watch> = mesh
        .agents()
        .iter()
        .map(|agent| Watch::start(agent.dns()))
        .collect();
    let last = lonely.plan_seq().await.unwrap();
    let commits = lonely
        .metric("regionmesh_register_commits_total", &[])
        .await
        .unwrap();

    others.iter().for_each(|other| network.cut(lone, *other));
    for api in &majority {
        until(
            &format!("{} plans without {name}", api.url()),
            SILENCE,
            async || {
                let share = api.region(name).await?.share;
                claim(share == 0.0, || format!("its share is {share}"))
            },
        )
        .await;
    }

    let (next, next_ballot) = one_leader(&majority, SILENCE).await;
    assert!(
        next != old && next_ballot > old_ballot,
        "{next} under {next_ballot} after {old} under {old_ballot}"
    );

    // The other side holds everybody else for failed, and can do nothing about it.
    until(
        &format!("{name} knows that it is alone"),
        SILENCE,
        async || {
            for other in &others {
                let verdict = lonely.region(mesh.region(*other)).await?.verdict;
                claim(verdict == Condition::Failed, || {
                    format!("{} is {verdict}", mesh.region(*other))
                })?;
            }

            let leads = lonely.metric("regionmesh_leader_is_leader", &[]).await?;
            claim(leads == 0.0, || format!("{name} still leads"))
        },
    )
    .await;

    let alone = watches[lone].now();
    until(
        "all regions are answered by the one alone",
        seconds(60),
        async || {
            watches[lone].more(100).await;
            let (_, answered) = watches[lone].since(alone);
            claim(answered.len() == 3, || format!("{answered:?}"))
        },
    )
    .await;

    assert_eq!(
        lonely.plan_seq().await.unwrap(),
        last,
        "a plan of one region alone"
    );

    assert_eq!(
        lonely
            .metric("regionmesh_register_commits_total", &[])
            .await
            .unwrap(),
        commits
    );

    for (other, api) in others.iter().zip(&majority) {
        let begin = watches[*other].now();
        watches[*other].more(100).await;

        let (count, answered) = watches[*other].since(begin);
        assert!(
            count >= 100 && !answered.contains(&address),
            "{} answered {answered:?}",
            api.url()
        );
    }

    // Both sides take in models meanwhile.
    mesh.publish_iris(others[0], "2", iris_two()).await;

    let (code, answer) = lonely
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
        lonely.get("/v1/models/iris/versions/2").await.unwrap().0,
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

    others.iter().for_each(|other| network.heal(lone, *other));
    let mut standings = Vec::new();
    until(&format!("{name} is back"), seconds(90), async || {
        let region = majority[0].region(name).await?;
        if standings.last() != Some(&(region.standing.clone(), region.ramp_percent)) {
            standings.push((region.standing.clone(), region.ramp_percent));
        }
        claim(region.standing == "serving", || format!("{standings:?}"))
    })
    .await;

    println!("{name} came back: {standings:?}");
    let steps: Vec<u8> = standings
        .iter()
        .filter_map(|(_, percent)| *percent)
        .collect();

    assert!(
        standings.iter().any(|(standing, _)| standing == "gated"),
        "{standings:?}"
    );

    assert!(steps.len() >= 4 && steps.is_sorted(), "{standings:?}");
    mesh.settled().await;
    mesh.leader(seconds(20)).await;
    mesh.held_by_all("2").await;
    for api in mesh.running_apis() {
        until(
            &format!("the lone region's model, seen from {}", api.url()),
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

#[test]
fn a_link_lost_between_two_regions_that_reach_the_third_moves_no_traffic_and_no_leader() {
    in_network(
        "partition::a_link_lost_between_two_regions_that_reach_the_third_moves_no_traffic_and_no_leader",
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
    let stood = async || {
        let mut sum = 0.0;
        for api in mesh.running_apis() {
            sum += api
                .metric("regionmesh_leader_elections_total", &["outcome=\"stood\""])
                .await
                .unwrap();
        }

        sum
    };

    let stood_before = stood().await;
    let log = PlanLog::start(mesh.running_apis());
    let watches: Vec<Watch> = mesh
        .agents()
        .iter()
        .map(|agent| Watch::start(agent.dns()))
        .collect();

    network.cut(ends[0], ends[1]);
    for [here, there] in [ends, [ends[1], ends[0]]] {
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

    // Every agent still judges every region healthy, and what one end publishes reaches the other
    // by way of the third.
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

    mesh.publish_iris(ends[0], "1", iris_one()).await;
    mesh.held_by_all("1").await;

    let (_, last_ballot) = mesh.leader(seconds(20)).await;
    let more_stood = stood().await - stood_before;
    println!("ballot {ballot}, then {last_ballot}; {more_stood} candidacies");
    assert!(
        last_ballot <= ballot + 1 && more_stood <= 1.0,
        "{ballot}, then {last_ballot}; {more_stood} candidacies"
    );

    network.heal(ends[0], ends[1]);
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

    mesh.settled().await;
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
