//! Kills agents while their region still serves: no traffic may move.

use crate::{
    mesh::{Measured, Network, TIMEOUT},
    report::Report,
};
use anyhow::{Context, Result};
use regionmesh::local_mesh::{layout::LocalAgent, measure::resolve};
use regionmesh_core::planning::Strategy;
use regionmesh_serving::iris_onnx;
use std::{
    collections::BTreeSet,
    ffi::OsString,
    net::IpAddr,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// Observation time after each kill, longer than the detection of a failure takes.
pub(crate) const WATCHED: Duration = Duration::from_secs(12);
/// Poll interval, short enough to notice a region that is out for less than a second.
const PAUSE: Duration = Duration::from_millis(100);

/// Kills each region's agents in turn while a separate model server serves there.
pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    eprintln!("Agents killed while their region serves on ...");
    let mesh = Measured::prepare(Network::Local(0), Strategy::Weighted, |config| {
        config.serving.embedded = false
    })
    .await?;
    let servers = mesh
        .agents()
        .iter()
        .map(|agent| serve(&mesh, agent, &[]))
        .collect::<Result<Vec<_>>>()?;

    mesh.start().await?;
    let mut moved = 0;
    let mut polls = 0;

    for victim in mesh.agents() {
        mesh.converged().await?;
        mesh.kill(&victim.id).await?;

        let survivors: Vec<_> = mesh
            .agents()
            .iter()
            .filter(|agent| agent.id != victim.id)
            .collect();
        let watched = watch(&mesh, &survivors, victim).await?;

        moved += watched.moved;
        polls += watched.polls;
        mesh.start_agent(&victim.id).await?;
        mesh.wait_until_ready(&victim.id, tokio::time::Instant::now() + TIMEOUT)
            .await?;
    }

    mesh.stop().await;
    drop(servers);

    let detail = format!(
        "in {polls} polls of status and DNS of the survivors, {WATCHED:?} after each of three kills"
    );
    report.below(
        "agents killed, serving alive: shares moved",
        moved as f64,
        1.0,
        "times",
        &detail,
    );

    Ok(())
}

/// Observations of a mesh with equal shares of traffic.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Watched {
    /// Observed shares other than a third, plus one if DNS never answered the victim's region.
    pub(crate) moved: usize,
    /// Number of polls.
    pub(crate) polls: usize,
}

/// Polls status and DNS of the survivors after the agents of `victim`'s region died.
pub(crate) async fn watch(
    mesh: &Measured,
    survivors: &[&LocalAgent],
    victim: &LocalAgent,
) -> Result<Watched> {
    let begin = Instant::now();
    let mut answered = BTreeSet::new();
    let mut watched = Watched::default();

    while begin.elapsed() < WATCHED {
        for agent in survivors {
            let status = mesh.status(agent).await?;
            watched.moved += status
                .regions
                .iter()
                .filter(|region| (region.share - 1.0 / 3.0).abs() > 0.001)
                .count();

            let found = resolve(agent.dns(), &mesh.layout().service(), TIMEOUT).await;
            answered.extend(found.map_err(anyhow::Error::msg)?);
            watched.polls += 1;
        }

        tokio::time::sleep(PAUSE).await;
    }

    watched.moved += usize::from(!answered.contains(&IpAddr::from(victim.ip)));
    Ok(watched)
}

/// Starts a model server in a separate process at the agent's serving address; `launcher` is
/// prepended to its command.
pub(crate) fn serve(mesh: &Measured, agent: &LocalAgent, launcher: &[String]) -> Result<Child> {
    let models = mesh
        .layout()
        .data_dir
        .join("apart")
        .join(agent.id.region.as_str());
    let version = models.join("iris").join("1");

    std::fs::create_dir_all(&version)?;
    std::fs::write(version.join("model.onnx"), iris_onnx())?;

    let mut words: Vec<OsString> = launcher.iter().map(OsString::from).collect();
    words.push(mesh.program().into());

    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .arg("serve")
        .arg("--models")
        .arg(models);

    command.args([
        "--listen",
        &agent.serving().to_string(),
        "--region",
        agent.id.region.as_str(),
    ]);

    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);

    command.spawn().context("regionmesh serve")
}
