//! CPU time and memory of an idle agent, as accounted by the kernel.

use crate::{
    mesh::{Measured, Network},
    report::Report,
};
use anyhow::{Context, Result};
use regionmesh_core::planning::Strategy;
use std::time::{Duration, Instant};

/// Duration of the measurement.
const WATCHED: Duration = Duration::from_secs(30);

/// Measures a converged mesh without users.
pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    eprintln!("An idle mesh, watched for {WATCHED:?} ...");
    let mesh = Measured::start(Network::Local(0), Strategy::Weighted, |_| {}).await?;
    mesh.converged().await?;

    let pids = mesh
        .agents()
        .iter()
        .map(|agent| mesh.pid(agent))
        .collect::<Result<Vec<_>>>()?;
    let on_cpu = || {
        pids.iter()
            .map(|pid| cpu_time(*pid))
            .collect::<Result<Vec<_>>>()
    };
    let before = on_cpu()?;
    let begin = Instant::now();

    tokio::time::sleep(WATCHED).await;
    let after = on_cpu()?;
    let watched = begin.elapsed();
    let shares = before
        .iter()
        .zip(&after)
        .map(|(before, after)| after.saturating_sub(*before).as_secs_f64());
    let worst = shares
        .map(|used| used / watched.as_secs_f64() * 100.0)
        .fold(0.0, f64::max);

    report.below(
        "idle agent, of one core",
        worst,
        2.0,
        "%",
        "the busiest of three",
    );

    let memory = pids
        .iter()
        .map(|pid| resident(*pid))
        .collect::<Result<Vec<_>>>()?;
    let most = memory.into_iter().fold(0.0, f64::max);

    report.below(
        "idle agent, resident",
        most,
        80.0,
        "MB",
        "the largest of three",
    );

    mesh.stop().await;
    Ok(())
}

/// CPU time of all threads of a process (/proc/PID/task/TID/schedstat, nanoseconds; kernel docs,
/// sched-stats).
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let mut total = Duration::ZERO;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path().join("schedstat");
        // A thread may have ended.
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let nanoseconds = text
            .split_whitespace()
            .next()
            .and_then(|word| word.parse().ok());

        total += Duration::from_nanos(nanoseconds.with_context(|| path.display().to_string())?);
    }

    Ok(total)
}

/// Resident memory, megabytes.
pub(crate) fn resident(pid: u32) -> Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kibibytes: f64 = line
        .split_whitespace()
        .next()
        .context("no number")?
        .parse()?;

    Ok(kibibytes * 1_024.0 / 1e6)
}
