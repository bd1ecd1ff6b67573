//! The DNS server on one core: throughput compared with NSD, gdnsd and PowerDNS, latency at a given
//! rate, answers while plans change, and behaviour under attack. dnsperf runs on the other core.

mod attack;
mod others;
mod perf;

use crate::{
    idle::cpu_time,
    mesh::{Measured, Network, TIMEOUT},
    report::Report,
};
use anyhow::{Context, Result, bail};
use others::Other;
use perf::{Load, Outcome};
use regionmesh::local_mesh::{layout::LocalAgent, measure::wait};
use regionmesh_core::planning::Strategy;
use serde_json::json;
use std::{
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

/// The cores of the servers and of the client.
const SERVER_CORE: &str = "0";
const CLIENT_CORE: &str = "1";
/// Runs of each server, in turns; the median counts.
const ROUNDS: usize = 3;
/// Length of one run.
const RUN: Duration = Duration::from_secs(5);
/// Queries per second of the latency measurement.
const PACE: u32 = 50_000;
/// Plans per second while plans change.
const PLANS_PER_S: u32 = 10;
/// Duration of the measurement while plans change.
const CHANGING: Duration = Duration::from_secs(10);

/// Measures everything about DNS.
pub(crate) async fn measure(report: &mut Report) -> Result<()> {
    let missing: Vec<_> = ["dnsperf", "taskset"]
        .into_iter()
        .filter(|name| !is_installed(name))
        .collect();

    if !missing.is_empty() {
        eprintln!(
            "SKIPPED: DNS needs {} (apt install dnsperf util-linux)",
            missing.join(" and ")
        );

        report.note(
            "DNS: SKIPPED",
            format!("{} not installed", missing.join(" and ")),
        );

        return Ok(());
    }

    eprintln!("DNS on core {SERVER_CORE}, asked from core {CLIENT_CORE} ...");
    // The first region's agent is attacked, so its rate limits apply to this machine too. The
    // others keep the defaults.
    let mesh = Measured::start(Network::Local(0), Strategy::Weighted, |config| {
        config.dns.workers = 1;
        if config.region == config.regions[0].name {
            config.dns.rate_limit.exempt.clear();
        }
    })
    .await?;

    mesh.converged().await?;
    let [attacked, agent, ..] = mesh.agents() else {
        bail!("the mesh has no agents")
    };
    for each in mesh.agents() {
        let core = if each.id == agent.id {
            SERVER_CORE
        } else {
            CLIENT_CORE
        };

        pin(mesh.pid(each)?, core)?;
    }

    throughput(report, &mesh, agent).await?;
    pace(report, agent)?;
    changing(report, &mesh, agent).await?;
    pin(mesh.pid(attacked)?, SERVER_CORE)?;
    attack::measure(
        report,
        attacked.dns(),
        &mesh.layout().service(),
        mesh.pid(attacked)?,
    )?;

    mesh.stop().await;
    Ok(())
}

fn is_installed(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    found
        .chain(["/usr/sbin".into()])
        .any(|directory| directory.join(program).exists())
}

fn pin(pid: u32, core: &str) -> Result<()> {
    let output = Command::new("taskset")
        .args(["-acp", core, &pid.to_string()])
        .output()
        .context("taskset")?;

    if !output.status.success() {
        bail!("taskset: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Measures all servers in turns, so that background load affects them equally.
async fn throughput(report: &mut Report, mesh: &Measured, agent: &LocalAgent) -> Result<()> {
    let zone = mesh.layout().domain.to_string();
    let others = others::start(&zone).await?;
    for missing in others.missing() {
        report.note(
            "DNS: SKIPPED",
            format!("{missing} is not installed, nothing to compare with"),
        );
    }

    let pid = mesh.pid(agent)?;
    let mut ours = Vec::new();
    let mut theirs = vec![Vec::new(); others.running().len()];
    let mut general = Vec::new();

    for _ in 0..ROUNDS {
        ours.push(run(agent.dns(), pid, Load::Service)?);
        for (other, runs) in others.running().iter().zip(&mut theirs) {
            runs.push(run(other.address, other.pid, Load::Service)?);
        }
        general.push(run(agent.dns(), pid, Load::General)?);
    }

    let own = median(&ours, |run| run.per_s);
    let own_cpu = median(&ours, |run| run.per_cpu_s);
    let lost: u64 = ours.iter().map(|run| run.lost).sum();
    let detail = format!(
        "{own_cpu:.0} k for a second of its own time on the core; {lost} of the queries lost"
    );

    report.at_least(
        "DNS on one core, by weight, with client subnet",
        own,
        150.0,
        "k answers/s",
        &detail,
    );

    for (Other { name, .. }, runs) in others.running().iter().zip(&theirs) {
        let per_s = median(runs, |run| run.per_s);
        let per_cpu_s = median(runs, |run| run.per_cpu_s);
        let text = format!(
            "{per_s:.0} k answers/s, ours is {:.2} x; {per_cpu_s:.0} k for a second of its time, \
                ours is {:.2} x",
            own / per_s,
            own_cpu / per_cpu_s
        );

        report.note(name, text);
    }

    let general = median(&general, |run| run.per_cpu_s);
    report.note(
        "DNS, parsed by the library: answers for a second on the core",
        format!("{general:.0} k"),
    );

    Ok(())
}

#[derive(Clone)]
struct Run {
    /// Thousands of answers per second.
    per_s: f64,
    /// Thousands of answers per second of the server's CPU time.
    per_cpu_s: f64,
    lost: u64,
}

fn run(server: SocketAddr, pid: u32, load: Load) -> Result<Run> {
    let before = cpu_time(pid)?;
    let Outcome {
        answers,
        lost,
        took,
        ..
    } = perf::ask(server, load, None, RUN)?;
    let on_cpu = cpu_time(pid)?.saturating_sub(before);
    let thousands = answers as f64 / 1e3;

    Ok(Run {
        per_s: thousands / took.as_secs_f64(),
        per_cpu_s: thousands / on_cpu.as_secs_f64().max(1e-9),
        lost,
    })
}

fn median(runs: &[Run], of: impl Fn(&Run) -> f64) -> f64 {
    let mut values: Vec<f64> = runs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn pace(report: &mut Report, agent: &LocalAgent) -> Result<()> {
    let mut outcomes = (0..ROUNDS)
        .map(|_| perf::ask(agent.dns(), Load::Service, Some(PACE), RUN))
        .collect::<Result<Vec<Outcome>>>()?;
    outcomes.sort_by_key(|outcome| outcome.p99);

    let outcome = &outcomes[outcomes.len() / 2];
    let detail = format!(
        "{:.0} answers/s, p50 {:.3} ms, {} lost; the median of {ROUNDS} runs",
        outcome.answers as f64 / outcome.took.as_secs_f64(),
        outcome.p50.as_secs_f64() * 1e3,
        outcome.lost
    );

    report.below(
        "DNS at 50 k/s, p99",
        outcome.p99.as_secs_f64() * 1e3,
        1.0,
        "ms",
        &detail,
    );

    Ok(())
}

/// Drains and restores a region in turn for `CHANGING`; returns how long that took.
async fn order_plans(mesh: &Measured, leader: &LocalAgent) -> Result<Duration> {
    let token = std::fs::read_to_string(mesh.layout().token_file())?;
    let region = mesh.agents().last().context("no agents")?.id.region.clone();
    let body = json!({ "region": region, "by": "figures", "why": "plans that change" });
    let begin = Instant::now();
    let mut orders = 0u32;

    while begin.elapsed() < CHANGING {
        let action = if orders.is_multiple_of(2) {
            "drain"
        } else {
            "restore"
        };
        let path = format!("/v1/failover/{action}");
        let reply = mesh.post(leader, &path, token.trim(), &body).await?;

        anyhow::ensure!(reply.is_success(), "{action}: {reply}");
        orders += 1;
        tokio::time::sleep_until((begin + Duration::from_secs(1) / PLANS_PER_S * orders).into())
            .await;
    }

    Ok(begin.elapsed())
}

/// Commits plans by operators' orders, `PLANS_PER_S` a second, and checks every answer while they
/// are committed.
async fn changing(report: &mut Report, mesh: &Measured, agent: &LocalAgent) -> Result<()> {
    let leader = mesh.converged().await?.leader.context("no leader")?.agent;
    let leader = mesh
        .agents()
        .iter()
        .find(|each| each.id.to_string() == leader)
        .context("the leader is unknown")?;
    let server = agent.dns();
    let service = mesh.layout().service();
    let seq =
        async || Ok::<_, anyhow::Error>(mesh.status(agent).await?.plan.map_or(0, |plan| plan.seq));

    let before = seq().await?;
    let watcher = tokio::task::spawn_blocking(move || perf::watch(server, &service, CHANGING));
    let took = order_plans(mesh, leader).await?;
    let watched = watcher.await??;
    let plans = wait(
        TIMEOUT,
        || async { seq().await.unwrap_or(before) },
        |seq| *seq > before,
    )
    .await
    .unwrap_or(before);

    let rate = (plans - before) as f64 / took.as_secs_f64();
    let detail = format!(
        "of {} queries, one after the other, while {rate:.1} plans a second were answered",
        watched.asked
    );

    report.below(
        "DNS while plans change: lost or empty answers",
        watched.bad as f64,
        1.0,
        "answers",
        &detail,
    );

    report.at_least(
        "DNS while plans change: plans",
        rate,
        f64::from(PLANS_PER_S) * 0.95,
        "/s",
        "",
    );

    Ok(())
}
