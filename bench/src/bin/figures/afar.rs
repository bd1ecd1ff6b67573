//! Failover between distant regions, with round trips of 125, 220 and 135 ms: kills as in
//! [`crate::failover`], regions that become unreachable, and kills of agents in a region
//! that still serves.

use crate::{
    apart::{WATCHED, serve, watch},
    distance::{self, Distance},
    failover::{self, Times, others, serving_and_leader},
    mesh::{Measured, Network, TIMEOUT},
    report::{Report, distribution},
    side_by_side::{Rounds, side_by_side},
};
use anyhow::{Context, Result};
use regionmesh::local_mesh::{
    layout::LocalAgent,
    measure::{wait, watch_dns},
};
use regionmesh_client::Status;
use regionmesh_core::planning::Strategy;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Number of failures of each kind, and of concurrent meshes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Amount {
    /// Kills of regions.
    pub(crate) kills: u32,
    /// Regions made unreachable.
    pub(crate) silences: u32,
    /// Kills of all agents of a region.
    pub(crate) agents: u32,
    /// Concurrent meshes.
    pub(crate) meshes: u8,
}

/// Measures all three kinds of failure.
pub(crate) async fn measure(report: &mut Report, amount: Amount) {
    measure_kills(report, amount).await;
    measure_silences(report, amount).await;
    measure_agent_kills(report, amount).await;
}

async fn measure_kills(report: &mut Report, amount: Amount) {
    let found = side_by_side(
        report,
        "afar: kills of the serving region and of the leader",
        amount.meshes,
        amount.kills,
        kill,
    )
    .await;

    let times = Times::of(found);
    report.times(
        "afar: serving region killed, until the last survivor's DNS moved",
        &times.dns,
        Duration::from_secs(3),
    );

    if !times.dns_with_leader.is_empty() {
        report.note(
            "afar: the same where the leader died with it",
            distribution(&times.dns_with_leader),
        );
    }

    report.times(
        "afar: leader killed, until all survivors name the next",
        &times.elections,
        Duration::from_millis(3_500),
    );

    report.note(
        "afar: agent started, until it is ready",
        distribution(&times.starts),
    );
}

async fn measure_silences(report: &mut Report, amount: Amount) {
    let found = side_by_side(
        report,
        "afar: silences of the serving region",
        amount.meshes,
        amount.silences,
        silence,
    )
    .await;

    report.times(
        "afar: serving region silent, until the last survivor's DNS moved",
        &found.concat(),
        Duration::from_secs(12),
    );
}

async fn measure_agent_kills(report: &mut Report, amount: Amount) {
    let found = side_by_side(
        report,
        "afar: kills of a healthy region's agents",
        amount.meshes,
        amount.agents,
        kill_agents,
    )
    .await;

    let polls: usize = found.iter().map(|part| part.polls).sum();
    let moved: usize = found.iter().map(|part| part.moved).sum();
    let commits: Vec<Duration> = found.into_iter().flat_map(|part| part.commits).collect();
    let detail =
        format!("in {polls} polls of status and DNS of the survivors, {WATCHED:?} after each kill");

    report.below(
        "afar: agents killed, serving alive: shares moved",
        moved as f64,
        1.0,
        "times",
        &detail,
    );

    let name =
        "afar: leader's agents killed, until all survivors have the next leader's first commit";
    report.times(name, &commits, Duration::from_millis(3_500));
}

async fn kill(number: u8, rounds: Arc<Rounds>) -> Result<Times> {
    let distance = Distance::create(number).await?;
    distance::check(&distance).await?;
    failover::measure_one(Network::Distant(&distance), rounds).await
}

/// Makes the serving region unreachable: packets are dropped, connections are not refused.
async fn silence(number: u8, rounds: Arc<Rounds>) -> Result<Vec<Duration>> {
    let distance = Distance::create(number).await?;
    rounds.turn().await;

    let mesh =
        Measured::start(Network::Distant(&distance), Strategy::ActivePassive, |_| {}).await?;
    let mut times = Vec::new();
    while let Some(round) = rounds.take() {
        let (home, _) = serving_and_leader(&mesh)
            .await
            .with_context(|| format!("round {round}"))?;
        let index = mesh
            .agents()
            .iter()
            .position(|agent| agent.id == home.id)
            .context("no such region")?;
        let servers: Vec<_> = others(&mesh, home)
            .iter()
            .map(|agent| agent.dns())
            .collect();

        rounds.turn().await;
        distance.silence(index);

        let moved = watch_dns(
            &servers,
            &mesh.layout().service(),
            &[home.ip.into()],
            TIMEOUT,
        )
        .await;

        distance.heal();
        let moved = moved
            .into_iter()
            .collect::<Result<Vec<_>, _>>()
            .context("DNS did not move")?;

        times.extend(moved.into_iter().max());
        rounds.done();
    }

    mesh.stop().await;
    Ok(times)
}

/// The outcome of the kills of agents.
#[derive(Default)]
struct Agents {
    moved: usize,
    polls: usize,
    commits: Vec<Duration>,
}

/// Kills agents, usually the leader's, while their region still serves.
async fn kill_agents(number: u8, rounds: Arc<Rounds>) -> Result<Agents> {
    let distance = Distance::create(number).await?;
    rounds.turn().await;

    let network = Network::Distant(&distance);
    let mesh = Measured::prepare(network, Strategy::Weighted, |config| {
        config.serving.embedded = false
    })
    .await?;
    let servers: Result<Vec<_>> = mesh
        .agents()
        .iter()
        .enumerate()
        .map(|(index, agent)| serve(&mesh, agent, &distance.launcher(index)))
        .collect();

    let _servers = servers?;
    mesh.start().await?;

    let mut found = Agents::default();
    while let Some(round) = rounds.take() {
        kill_agents_once(&mesh, round, &rounds, &mut found)
            .await
            .with_context(|| format!("round {round}"))?;
        rounds.done();
    }

    mesh.stop().await;
    Ok(found)
}

async fn kill_agents_once(
    mesh: &Measured,
    round: u32,
    rounds: &Rounds,
    found: &mut Agents,
) -> Result<()> {
    let status = mesh.converged().await?;
    let before = status.leader.context("no leader")?;
    let leads = |agent: &&LocalAgent| agent.id.to_string() == before.agent;
    let leader = mesh
        .agents()
        .iter()
        .find(leads)
        .context("an unknown agent leads")?;

    // Every third time, agents of another region.
    let victim = if round % 3 == 2 {
        others(mesh, leader)[(round / 3) as usize % 2]
    } else {
        leader
    };
    let survivors = others(mesh, victim);

    rounds.turn().await;
    let begin = Instant::now();
    mesh.kill(&victim.id).await?;

    let has_committed = |seen: &Vec<Status>| {
        seen.len() == survivors.len()
            && seen
                .iter()
                .all(|status| match (&status.leader, &status.plan) {
                    (Some(leader), Some(plan)) => {
                        leader.agent != before.agent && plan.ballot.number == leader.ballot
                    }
                    _ => false,
                })
    };

    let committed = async {
        if victim.id != leader.id {
            return Ok(None);
        }
        wait(TIMEOUT, || mesh.all(&survivors), has_committed)
            .await
            .map(|_| Some(begin.elapsed()))
    };
    let (committed, watched) = tokio::join!(committed, watch(mesh, &survivors, victim));

    found
        .commits
        .extend(committed.context("no leader committed")?);

    let watched = watched?;
    found.moved += watched.moved;
    found.polls += watched.polls;
    mesh.start_agent(&victim.id).await?;
    mesh.wait_until_ready(&victim.id, tokio::time::Instant::now() + TIMEOUT)
        .await?;
    Ok(())
}
