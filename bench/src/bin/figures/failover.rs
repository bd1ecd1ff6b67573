//! Kills of the serving region and of the leader.
//!
//! Each round kills the leader, if it is in another region, and then the serving region, whether or
//! not it now leads. During the run users send a steady load through a front door, each request on
//! a new connection.

use crate::{
    mesh::{Measured, Network, TIMEOUT},
    report::{Report, distribution},
    side_by_side::{Rounds, side_by_side},
};
use anyhow::{Context, Result, anyhow};
use regionmesh::{
    front_door::{FrontDoor, FrontDoorMetrics},
    local_mesh::{
        layout::LocalAgent,
        measure::{Load, Sample, wait, watch_dns},
        publish::{ModelToPublish, publish},
    },
};
use regionmesh_client::Status;
use regionmesh_core::planning::Strategy;
use regionmesh_protocol::models::manifest::ModelName;
use regionmesh_serving::iris_onnx;
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

const MODEL: &str = "iris";
/// Time between two requests of the load.
const INTERVAL: Duration = Duration::from_millis(10);
/// Consecutive requests that must be answered before and after a kill.
const CALM: usize = 100;

/// Times of the kills.
#[derive(Default)]
pub(crate) struct Times {
    /// Until the last survivor's DNS moved.
    pub(crate) dns: Vec<Duration>,
    /// Those where the leader was in the killed region.
    pub(crate) dns_with_leader: Vec<Duration>,
    /// Until the front door's last error.
    pub(crate) errors: Vec<Duration>,
    /// Until all survivors name the next leader.
    pub(crate) elections: Vec<Duration>,
    /// Until an agent that was started is ready.
    pub(crate) starts: Vec<Duration>,
}

impl Times {
    /// The times of all meshes.
    pub(crate) fn of(parts: Vec<Self>) -> Self {
        let mut all = Self::default();
        parts.into_iter().for_each(|part| all.add(part));
        all
    }

    fn add(&mut self, other: Self) {
        self.dns.extend(other.dns);
        self.dns_with_leader.extend(other.dns_with_leader);
        self.errors.extend(other.errors);
        self.elections.extend(other.elections);
        self.starts.extend(other.starts);
    }
}

/// Kills the serving region `kills` times, on `meshes` concurrent meshes.
pub(crate) async fn measure(report: &mut Report, meshes: u8, kills: u32) {
    let one = |number, rounds| measure_one(Network::Local(number), rounds);
    let found = side_by_side(
        report,
        "kills of the serving region and of the leader",
        meshes,
        kills,
        one,
    )
    .await;

    let times = Times::of(found);
    let seconds = Duration::from_secs;
    report.times(
        "serving region killed, until the last survivor's DNS moved",
        &times.dns,
        seconds(3),
    );

    if !times.dns_with_leader.is_empty() {
        report.note(
            "the same where the leader died with it",
            distribution(&times.dns_with_leader),
        );
    }

    report.times(
        "serving region killed, until the front door's last error",
        &times.errors,
        seconds(5),
    );

    report.times(
        "leader killed, until all survivors name the next",
        &times.elections,
        Duration::from_millis(3_500),
    );

    report.times(
        "agent started, until it is ready",
        &times.starts,
        seconds(1),
    );
}

/// Runs rounds on one mesh until none is left.
pub(crate) async fn measure_one(network: Network<'_>, rounds: Arc<Rounds>) -> Result<Times> {
    rounds.turn().await;
    let mesh = Measured::start(network, Strategy::ActivePassive, |_| {}).await?;
    let door = FrontDoor::bind(mesh.front_door(
        vec!["127.0.0.1:0".parse()?],
        FrontDoorMetrics::new(&regionmesh_runtime::metrics::Registry::new())?,
    ))
    .await?;
    let address = door
        .local_addrs()
        .into_iter()
        .next()
        .context("the front door has no address")?;
    let closing = CancellationToken::new();
    let _close = closing.clone().drop_guard();

    tokio::spawn(door.serve(closing));
    publish_sample(&mesh).await?;

    let url = format!("http://{address}/v2/models/{MODEL}/infer");
    let mut times = Times::default();
    while let Some(round) = rounds.take() {
        kill_leader(&mesh, &rounds, &mut times)
            .await
            .with_context(|| format!("round {round}"))?;
        kill_serving(&mesh, &url, &rounds, &mut times)
            .await
            .with_context(|| format!("round {round}"))?;

        rounds.done();
    }

    mesh.stop().await;
    Ok(times)
}

async fn publish_sample(mesh: &Measured) -> Result<()> {
    let directory = mesh.layout().data_dir.join("sample");
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("model.onnx"), iris_onnx())?;

    let model = ModelToPublish {
        name: ModelName::new(MODEL)?,
        path: directory,
    };

    publish(mesh, &model)
        .await
        .map_err(|error| anyhow!("{error}"))?;

    // All regions need a copy, or the model would be lost with its only region.
    mesh.wait_for_model(&mesh.all_agents(), MODEL).await
}

/// Kills the leader, unless it is in the serving region.
async fn kill_leader(mesh: &Measured, rounds: &Rounds, times: &mut Times) -> Result<()> {
    let (home, leader) = serving_and_leader(mesh).await?;
    if home.id == leader.id {
        return Ok(());
    }

    let survivors = others(mesh, leader);
    rounds.turn().await;

    let (killed, elected) = tokio::join!(mesh.kill(&leader.id), elected(mesh, &survivors, leader));
    killed?;
    times.elections.push(elected?);
    start_again(mesh, leader, times).await
}

/// Kills the serving region under load.
async fn kill_serving(
    mesh: &Measured,
    url: &str,
    rounds: &Rounds,
    times: &mut Times,
) -> Result<()> {
    let (home, leader) = serving_and_leader(mesh).await?;
    let load = Load::start(url.to_owned(), question(), INTERVAL)?;
    let is_warm = |samples: &Vec<Sample>| calm(samples, Duration::ZERO);

    wait(TIMEOUT, || async { load.samples() }, is_warm)
        .await
        .context("no calm before the kill")?;

    let survivors = others(mesh, home);
    let servers: Vec<_> = survivors.iter().map(|agent| agent.dns()).collect();
    let gone = [home.ip.into()];
    let service = mesh.layout().service();

    rounds.turn().await;
    let at = load.now();
    let is_leader = home.id == leader.id;
    let elected = async {
        if is_leader {
            elected(mesh, &survivors, home).await.map(Some)
        } else {
            Ok(None)
        }
    };

    let (killed, moved, elected) = tokio::join!(
        mesh.kill(&home.id),
        watch_dns(&servers, &service, &gone, TIMEOUT),
        elected
    );

    killed?;
    let moved = moved
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .context("DNS did not move")?;
    let slowest = moved.into_iter().max().unwrap_or_default();

    times.dns.push(slowest);
    if let Some(elected) = elected? {
        times.dns_with_leader.push(slowest);
        times.elections.push(elected);
    }

    let is_calm = |samples: &Vec<Sample>| calm(samples, at + slowest);
    wait(TIMEOUT, || async { load.samples() }, is_calm)
        .await
        .context("no calm after the kill")?;

    let samples = load.finish().await;
    let failed = samples.iter().filter(|sample| sample.outcome.is_err());
    let last = failed
        .map(|sample| sample.sent + sample.took)
        .max()
        .unwrap_or(at);

    times.errors.push(last.saturating_sub(at));
    start_again(mesh, home, times).await
}

/// The agent of the region with all traffic, and the leader.
pub(crate) async fn serving_and_leader(mesh: &Measured) -> Result<(&LocalAgent, &LocalAgent)> {
    let status = mesh.converged().await?;
    let region = status
        .regions
        .iter()
        .find(|region| region.share > 0.99)
        .context("no region has the traffic")?;
    let leader = status.leader.map(|leader| leader.agent).unwrap_or_default();
    let find = |is: &dyn Fn(&LocalAgent) -> bool| mesh.agents().iter().find(|agent| is(agent));
    let home =
        find(&|agent| agent.id.region == region.region).context("an unknown region serves")?;
    let leader = find(&|agent| agent.id.to_string() == leader).context("an unknown agent leads")?;

    Ok((home, leader))
}

/// All agents but one.
pub(crate) fn others<'a>(mesh: &'a Measured, agent: &LocalAgent) -> Vec<&'a LocalAgent> {
    mesh.agents()
        .iter()
        .filter(|other| other.id != agent.id)
        .collect()
}

/// Time until all survivors name the same leader other than `dead`.
pub(crate) async fn elected(
    mesh: &Measured,
    survivors: &[&LocalAgent],
    dead: &LocalAgent,
) -> Result<Duration> {
    let begin = Instant::now();
    let dead = dead.id.to_string();
    let is_elected = |seen: &Vec<Status>| {
        let mut leaders = seen.iter().map(|status| {
            status
                .leader
                .as_ref()
                .map(|leader| (&leader.agent, leader.ballot))
        });
        let first = leaders.next().flatten();

        seen.len() == survivors.len()
            && first.is_some_and(|(agent, _)| *agent != dead)
            && leaders.all(|leader| leader == first)
    };

    wait(TIMEOUT, || mesh.all(survivors), is_elected)
        .await
        .context("no leader was elected")?;
    Ok(begin.elapsed())
}

async fn start_again(mesh: &Measured, agent: &LocalAgent, times: &mut Times) -> Result<()> {
    let begin = Instant::now();
    mesh.start_agent(&agent.id).await?;
    mesh.wait_until_ready(&agent.id, tokio::time::Instant::now() + TIMEOUT)
        .await?;
    times.starts.push(begin.elapsed());
    Ok(())
}

/// Whether the last [`CALM`] requests after `since` were all answered.
fn calm(samples: &[Sample], since: Duration) -> bool {
    let after: Vec<_> = samples
        .iter()
        .filter(|sample| sample.sent > since)
        .collect();

    after.len() >= CALM
        && after
            .iter()
            .rev()
            .take(CALM)
            .all(|sample| sample.outcome.is_ok())
}

fn question() -> serde_json::Value {
    json!({"inputs": [{
        "name": "measurements",
        "shape": [1, 4],
        "datatype": "FP32",
        "data": [6.3, 3.3, 6.0, 2.5],
    }]})
}
