//! Agents killed with SIGKILL, the leader among them: users are moved away and back, and what was
//! half done goes on.

use regionmesh::config::Config;
use regionmesh_tests::{
    converge::until_share,
    mesh::{Setup, TestMesh},
    models::noise,
    scripted::{Behaviour, Scripted},
    serve::apart,
    wait::{claim, seconds, until},
    watch::Watch,
};
use std::{collections::BTreeSet, net::IpAddr, time::Duration};

/// A killed region's address must be gone from every survivor's DNS within this.
const AWAY: Duration = seconds(5);
/// And at best within this: three probes half a second apart would take at least a second.
const AT_BEST: Duration = Duration::from_millis(900);

#[tokio::test(flavor = "multi_thread")]
async fn traffic_leaves_each_killed_region_within_seconds_and_returns_by_the_ramp() {
    let mesh = TestMesh::start().await;
    let mut leaders_killed = 0;
    let mut quickest = Duration::MAX;

    for victim in 0..3 {
        mesh.converged().await;
        let survivors = mesh.others(victim);
        let name = mesh.region(victim);
        let was_leader = mesh.leader(seconds(10)).await.0 == mesh.agent(victim).id.to_string();
        let watches: Vec<Watch> = survivors
            .iter()
            .map(|region| Watch::start(mesh.agent(*region).dns()))
            .collect();

        mesh.kill_region(victim).await;
        let killed = watches[0].now();
        let asked: Vec<_> = survivors.iter().map(|region| mesh.api(*region)).collect();
        until_share(&asked, name, AWAY, |share| share == 0.0).await;

        let slowest = slowest_departure(&mesh, victim, &watches, killed).await;

        quickest = quickest.min(slowest);
        let (next, _) = mesh.leader(seconds(5)).await;
        assert!(!next.starts_with(name), "{next} still leads");
        leaders_killed += usize::from(was_leader);

        mesh.revive(victim).await;
        mesh.assert_returns_by_ramp(victim, survivors[0], seconds(45))
            .await;
        for watch in watches {
            watch.finish_without_fault().await;
        }
    }

    mesh.converged().await;
    assert!(
        leaders_killed >= 1,
        "each agent was killed once, so the leader was"
    );

    assert!(
        quickest < AT_BEST,
        "the quickest of three kills took {quickest:?}"
    );

    // The region's share is real: its address is answered again by all.
    for region in 0..3 {
        let mut answered = BTreeSet::new();
        until("every region is answered again", seconds(10), async || {
            answered.extend(mesh.resolve(region).await?);
            claim(answered.len() == 3, || format!("{answered:?}"))
        })
        .await;
    }
}

/// How long after the kill the slowest survivor answered the dead region. Each gives a hundred more
/// answers without it.
async fn slowest_departure(
    mesh: &TestMesh,
    victim: usize,
    watches: &[Watch],
    killed: Duration,
) -> Duration {
    let dead: IpAddr = mesh.agent(victim).ip.into();
    let name = mesh.region(victim);
    let mut slowest = Duration::ZERO;
    for (region, watch) in mesh.others(victim).iter().zip(watches) {
        watch.more(100).await;
        let last = watch
            .last_with(dead)
            .unwrap_or_default()
            .saturating_sub(killed);

        println!(
            "{name} killed: {} answered it until {last:?} after",
            mesh.region(*region)
        );

        assert!(
            last < AWAY,
            "{} answered {name} until {last:?} after the kill",
            mesh.region(*region)
        );

        slowest = slowest.max(last);
    }

    slowest
}

/// Long enough for a test to bring an endpoint back in between.
fn apart_with_long_evidence(config: &mut Config) {
    apart(config);
    config.health.evidence_ms = 20_000;
    // Refusals do not count as success either: suspicion would reduce the share.
    (config.health.suspect_ms, config.health.silent_ms) = (30_000, 60_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_recovers_within_the_evidence_window_keeps_its_traffic() {
    let adjust: Option<fn(&mut Config)> = Some(apart_with_long_evidence);
    let mesh = TestMesh::start_with(Setup {
        adjust,
        ..Setup::default()
    })
    .await;
    let start = async |index: usize| {
        Scripted::start(
            mesh.agent(index).serving(),
            mesh.region(index),
            Behaviour::Answers,
        )
        .await
    };

    let mut regions = vec![start(0).await, start(1).await, start(2).await];
    mesh.converged().await;

    let name = mesh.region(2).to_owned();
    let label = format!("region=\"{name}\"");
    let confirmed = async |index: usize, outcome: &str| {
        let outcome = format!("outcome=\"{outcome}\"");
        mesh.api(index)
            .metric("regionmesh_probe_confirmations_total", &[&label, &outcome])
            .await
    };
    let before = mesh.api(0).plan_seq().await.unwrap();

    drop(regions.pop());
    for observer in 0..2 {
        until(
            "the endpoint was refused more often than a failure takes",
            seconds(20),
            async || {
                let seen = confirmed(observer, "definite_failure").await?;
                claim(seen >= 5.0, || format!("{seen} confirmations"))
            },
        )
        .await;
    }

    regions.push(start(2).await);
    for observer in 0..2 {
        until(
            "the endpoint was seen to be back",
            seconds(20),
            async || {
                let seen = confirmed(observer, "success").await?;
                claim(seen >= 1.0, || format!("{seen} confirmations"))
            },
        )
        .await;

        let region = mesh.api(observer).region(&name).await.unwrap();
        assert_eq!(region.traffic_state, "serving", "{region:?}");
    }

    assert_eq!(
        mesh.api(0).plan_seq().await.unwrap(),
        before,
        "no plan was made of it"
    );
}

/// Of the model below, bytes.
const WHOLE: usize = 200 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_region_killed_while_it_receives_a_model_resumes_the_download() {
    let mesh = TestMesh::start().await;
    mesh.converged().await;

    let received = async || {
        mesh.api(2)
            .metric(
                "regionmesh_replication_bytes_total",
                &["direction=\"received\""],
            )
            .await
    };
    let sender = mesh.api(0);

    let publishing = async {
        let (code, answer) = sender
            .publish("noise", "1", &[("weights.bin", noise(1, WHOLE))])
            .await
            .unwrap();
        assert_eq!(code, 200, "{answer}");
    };

    let killing = async {
        let before = until("a part is received", seconds(90), async || {
            let bytes = received().await?;
            claim(bytes > WHOLE as f64 * 0.2, || format!("{bytes} bytes"))?;
            Ok(bytes)
        })
        .await;

        mesh.kill_region(2).await;
        before
    };

    let ((), before) = tokio::join!(publishing, killing);
    assert!(
        before < WHOLE as f64,
        "the kill came too late: all was received"
    );

    mesh.revive(2).await;
    let api = mesh.api(2);
    until("the rest is received", seconds(90), async || {
        let (code, answer) = api.get("/v1/models/noise/versions/1").await?;
        claim(code == 200, || format!("{code}: {answer}"))
    })
    .await;

    let after = received().await.unwrap();
    println!("{before} bytes of {WHOLE} received before the kill, {after} after");

    // What was in flight at the kill may be sent twice, the rest must not be.
    assert!(
        after < WHOLE as f64 - before / 2.0,
        "{before} before, {after} after, {WHOLE} in all"
    );

    api.done("/v1/models/noise/versions/1/verify", &serde_json::json!({}))
        .await;
}
