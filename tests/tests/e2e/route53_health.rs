//! Emergencies: traffic leaves a region by Route 53's health checks alone, without an API call.

use parking_lot::Mutex;
use regionmesh_dns::DnsProvider;
use regionmesh_tests::{
    route53::{
        Options,
        bench::{Bench, EVEN, REGIONS, SERVICE, plan, publish, quiet},
    },
    wait::{claim, seconds, until},
};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, task::JoinHandle};

/// The agents of one region: what they say about each region.
#[derive(Clone, Default)]
struct Verdicts(Arc<Mutex<BTreeMap<String, bool>>>);

impl Verdicts {
    async fn serve(&self) -> (SocketAddr, JoinHandle<()>) {
        let verdicts = self.clone();
        let answer = move |axum::extract::Path(region): axum::extract::Path<String>| async move {
            let is_good = verdicts.0.lock().get(&region).copied().unwrap_or(true);

            if is_good {
                http::StatusCode::OK
            } else {
                http::StatusCode::SERVICE_UNAVAILABLE
            }
        };

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = axum::Router::new().route("/verdict/{region}", axum::routing::get(answer));

        (
            address,
            tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() }),
        )
    }

    fn set(&self, region: &str, is_good: bool) {
        self.0.lock().insert(region.into(), is_good);
    }
}

#[tokio::test]
async fn health_checks_evacuate_a_region_and_restore_it_without_an_api_call() {
    let bench = Bench::new(Options::default()).await;
    let (agents, running) = serve_verdicts(&bench).await;

    let provider = bench.provider().await;
    let published = publish(&provider, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();

    provider
        .await_propagation(&published, &quiet)
        .await
        .unwrap();
    let calls = bench.fake.count("ChangeResourceRecordSets", "");
    let answered = || {
        let answers = bench.fake.answers(SERVICE, "A");
        answers
            .iter()
            .map(|answer| answer.id.trim_start_matches("regionmesh:").to_owned())
            .collect::<Vec<_>>()
    };

    let become_ = async |what: &str, wanted: &[&str]| {
        until(what, seconds(10), async || {
            claim(answered() == wanted, || format!("{:?}", answered()))
        })
        .await;
    };

    // One observer is not enough, nor is a region's own verdict.
    agents[0].set("us-west-2", false);
    agents[2].set("us-west-2", false);

    let child = bench.fake.checks().into_iter().find(|check| {
        check.tags["regionmesh:region"] == "us-west-2"
            && check.tags["regionmesh:observer"] == "ap-south-1"
    });
    let child = child.unwrap().id;

    until(
        "the first observer has an effect",
        seconds(10),
        async || claim(!bench.fake.is_healthy(&child), || "not yet".into()),
    )
    .await;

    assert_eq!(answered(), REGIONS);
    agents[1].set("us-west-2", false);
    become_("two of two say so", &["ap-south-1", "eu-west-1"]).await;
    for agent in &agents {
        agent.set("us-west-2", true);
    }
    become_("it is taken back", &REGIONS).await;

    // A region is down with its agents: the two others report that it failed, and its own reports
    // on them are missing.
    running[2].abort();
    agents[0].set("us-west-2", false);
    agents[1].set("us-west-2", false);
    become_("the region is down", &["ap-south-1", "eu-west-1"]).await;

    assert_eq!(
        bench.fake.count("ChangeResourceRecordSets", ""),
        calls,
        "no API call was needed"
    );
}

/// The agents of all regions, and the tasks that answer for them.
async fn serve_verdicts(bench: &Bench) -> (Vec<Verdicts>, Vec<JoinHandle<()>>) {
    let mut agents = Vec::new();
    let mut running = Vec::new();

    for region in REGIONS {
        let verdicts = Verdicts::default();
        let (address, task) = verdicts.serve().await;
        bench
            .fake
            .resolve(&format!("agents.{region}.example.com"), address);
        agents.push(verdicts);
        running.push(task);
    }

    (agents, running)
}

#[tokio::test]
async fn in_an_active_passive_mesh_a_standby_with_weight_0_takes_over() {
    let bench = Bench::new(Options::default()).await;
    let (agents, _running) = serve_verdicts(&bench).await;
    for agent in &agents {
        agent.set("ap-south-1", false);
    }

    publish(
        &bench.provider().await,
        &plan(&bench.config, 1, [10_000, 0, 0]),
    )
    .await
    .unwrap();

    until("the standbys are answered", seconds(10), async || {
        let ids: Vec<_> = bench
            .fake
            .answers(SERVICE, "A")
            .iter()
            .map(|answer| answer.id.clone())
            .collect();

        claim(
            ids == ["regionmesh:eu-west-1", "regionmesh:us-west-2"],
            || format!("{ids:?}"),
        )
    })
    .await;
}
