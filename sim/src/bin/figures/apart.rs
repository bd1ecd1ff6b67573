//! Agents die while their region serves on: no traffic may move.

use crate::{
    mesh::{Measured, PATIENCE},
    report::Report,
};
use anyhow::{Context, Result};
use regionmesh::{
    cli::up::{layout::LocalAgent, measure::resolve},
    serving::sample,
};
use regionmesh_protocol::plan::Strategy;
use std::{
    collections::BTreeSet,
    net::IpAddr,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// How long is watched after each kill: longer than silence takes to be held for failure.
const WATCHED: Duration = Duration::from_secs(12);
const PAUSE: Duration = Duration::from_millis(50);

/// Kills each region's agents in turn while a model server of its own serves there.
pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    eprintln!("Agents killed while their region serves on ...");
    let mesh = Measured::prepare(0, Strategy::Weighted, |config| config.serving.embedded = false).await?;
    let servers = mesh.agents().iter().map(|agent| serve(&mesh, agent)).collect::<Result<Vec<_>>>()?;
    mesh.start().await?;
    let (mut moved, mut answers) = (0, 0);
    for victim in mesh.agents() {
        mesh.settled().await?;
        mesh.kill(&victim.id).await?;
        let survivors: Vec<_> = mesh.agents().iter().filter(|agent| agent.id != victim.id).collect();
        let (begin, mut answered) = (Instant::now(), BTreeSet::new());
        while begin.elapsed() < WATCHED {
            for agent in &survivors {
                let status = mesh.status(agent).await?;
                moved += status.regions.iter().filter(|region| (region.share - 1.0 / 3.0).abs() > 0.001).count();
                answered.extend(
                    resolve(agent.dns(), &mesh.layout().service(), PATIENCE).await.map_err(anyhow::Error::msg)?,
                );
                answers += 1;
            }
            tokio::time::sleep(PAUSE).await;
        }
        moved += usize::from(!answered.contains(&IpAddr::from(victim.ip)));
        mesh.start_agent(&victim.id).await?;
        mesh.wait_until_ready(&victim.id, tokio::time::Instant::now() + PATIENCE).await?;
    }
    mesh.stop().await;
    drop(servers);
    let detail =
        format!("in {answers} looks at status and DNS of the survivors, {WATCHED:?} after each of three kills");
    report.below("agents killed, serving alive: shares moved", moved as f64, 1.0, "times", &detail);
    Ok(())
}

/// A model server in a process of its own at the agent's serving address.
fn serve(mesh: &Measured, agent: &LocalAgent) -> Result<Child> {
    let models = mesh.layout().data_dir.join("apart").join(agent.id.region.as_str());
    let version = models.join("iris").join("1");
    std::fs::create_dir_all(&version)?;
    std::fs::write(version.join("model.onnx"), sample::iris_onnx())?;
    let mut command = Command::new(mesh.program());
    command.arg("serve").arg("--models").arg(models);
    command.args(["--listen", &agent.serving().to_string(), "--region", agent.id.region.as_str()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().context("regionmesh serve")
}
