//! Agents killed with SIGKILL, the leader among them: users are moved away and back, and what was half done goes on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use regionmesh_tests::{
    mesh::TestMesh,
    models::noise,
    wait::{claim, seconds, until},
    watch::Watch,
};
use std::{collections::BTreeSet, net::IpAddr};

/// A killed region's address must be gone from every survivor's DNS within this.
const AWAY: std::time::Duration = seconds(5);

#[tokio::test(flavor = "multi_thread")]
async fn users_leave_each_killed_region_within_seconds_and_return_by_the_ramp() {
    let mesh = TestMesh::start(3).await;
    let mut leaders_killed = 0;
    for victim in 0..3 {
        mesh.settled().await;
        let survivors = mesh.others(victim);
        let dead: IpAddr = mesh.agent(victim).ip.into();
        let name = mesh.region(victim);
        let was_leader = mesh.leader(seconds(10)).await.0 == mesh.agent(victim).id.to_string();
        let watches: Vec<Watch> = survivors.iter().map(|region| Watch::start(mesh.agent(*region).dns())).collect();

        mesh.kill_region(victim).await;
        let killed = watches[0].now();
        for region in &survivors {
            let api = mesh.api(*region);
            until(&format!("{} plans without {name}", mesh.region(*region)), AWAY, async || {
                let share = api.region(name).await?.share;
                claim(share == 0.0, || format!("its share is {share}"))
            })
            .await;
        }
        // Hundred more answers of each survivor without the dead region, from here to its return.
        for (region, watch) in survivors.iter().zip(&watches) {
            watch.more(100).await;
            let last = watch.last_with(dead).unwrap_or_default().saturating_sub(killed);
            println!("{name} killed: {} answered it until {last:?} after", mesh.region(*region));
            assert!(last < AWAY, "{} answered {name} until {last:?} after the kill", mesh.region(*region));
        }
        let (next, _) = mesh.leader(seconds(5)).await;
        assert!(!next.starts_with(name), "{next} still leads");
        leaders_killed += usize::from(was_leader);

        mesh.revive(victim).await;
        let mut standings = Vec::new();
        let api = mesh.api(survivors[0]);
        until(&format!("{name} is back"), seconds(45), async || {
            let region = api.region(name).await?;
            if standings.last() != Some(&(region.standing.clone(), region.ramp_percent)) {
                standings.push((region.standing.clone(), region.ramp_percent));
            }
            claim(region.standing == "serving", || format!("{standings:?}"))
        })
        .await;
        let steps: Vec<u8> = standings.iter().filter_map(|(_, percent)| *percent).collect();
        println!("{name} came back: {standings:?}");
        assert!(standings.iter().any(|(standing, _)| standing == "gated"), "{standings:?}");
        assert!(steps.len() >= 4 && steps.is_sorted(), "{standings:?}");
        for watch in watches {
            watch.finish_without_fault().await;
        }
    }
    mesh.settled().await;
    assert!(leaders_killed >= 1, "each agent was killed once, so the leader was");
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

/// Of the model below, bytes.
const WHOLE: usize = 200 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_region_killed_while_it_receives_a_model_goes_on_where_it_was() {
    let mesh = TestMesh::start(4).await;
    mesh.settled().await;
    let received = async || mesh.api(2).metric("regionmesh_replication_bytes_total", &["direction=\"received\""]).await;
    let sender = mesh.api(0);
    let publishing = async {
        let (code, answer) = sender.publish("noise", "1", &[("weights.bin", noise(1, WHOLE))]).await.unwrap();
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
    assert!(before < WHOLE as f64, "the kill came too late: all was received");
    mesh.revive(2).await;
    let api = mesh.api(2);
    until("the rest is received", seconds(90), async || {
        let (code, answer) = api.get("/v1/models/noise/versions/1").await?;
        claim(code == 200, || format!("{code}: {answer}"))
    })
    .await;
    let after = received().await.unwrap();
    println!("{before} bytes of {WHOLE} received before the kill, {after} after");
    // What was under way at the kill may come twice, the rest not.
    assert!(after < WHOLE as f64 - before / 2.0, "{before} before, {after} after, {WHOLE} in all");
    let (code, answer) = api.post("/v1/models/noise/versions/1/verify", &serde_json::json!({})).await.unwrap();
    assert_eq!(code, 200, "{answer}");
}
