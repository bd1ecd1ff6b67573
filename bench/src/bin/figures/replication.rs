//! Replication of a large model, published in one region and verified in both others, compared with
//! a raw QUIC connection.

use crate::{
    mesh::{Measured, Network},
    raw,
    report::Report,
};
use anyhow::{Result, anyhow};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use regionmesh::local_mesh::publish::{ModelToPublish, publish};
use regionmesh_core::planning::Strategy;
use regionmesh_protocol::models::manifest::ModelName;
use std::{
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

const MODEL: &str = "weights";
/// Number of models, each compared with its own raw connection: single runs differ by a third on a
/// machine with two cores.
const RUNS: u64 = 5;
/// Copies of a model during a run: one in each region, and two more in buffers and partial files.
const STORED: u64 = 5;
/// Size of a memory page, bytes.
const PAGE: usize = 4096;

/// Results of one model.
struct Run {
    /// Throughput of the raw connection, bytes per second.
    raw: f64,
    /// Throughput to both other regions together, bytes per second.
    delivered: f64,
    published: Duration,
    verified: Duration,
}

/// Measures models of `bytes` each, one after the other. Their content is random, so nothing can be
/// deduplicated or compressed.
pub(crate) async fn measure(report: &mut Report, bytes: u64) -> Result<()> {
    eprintln!(
        "{RUNS} models of {} MiB, each against one raw QUIC connection ...",
        bytes >> 20
    );

    let mesh = Measured::start(Network::Local(0), Strategy::Weighted, |_| {}).await?;
    mesh.converged().await?;

    let mut runs = Vec::new();
    for number in 0..RUNS {
        let run = replicate(&mesh, number, bytes).await?;
        let ratio = run.delivered / run.raw;
        eprintln!(
            "  raw {:.0} MB/s, delivered {:.0} MB/s, {ratio:.2} x",
            run.raw / 1e6,
            run.delivered / 1e6
        );

        runs.push(run);
    }

    mesh.stop().await;
    let all = |of: fn(&Run) -> f64| median(runs.iter().map(of).collect());
    report.note(
        "one raw QUIC connection",
        format!("{:.0} MB/s", all(|run| run.raw) / 1e6),
    );

    let published = all(|run| run.published.as_secs_f64());
    report.note(
        "publication accepted, verified where it was published",
        format!("{published:.2} s"),
    );

    let verified = all(|run| run.verified.as_secs_f64());
    let delivered = all(|run| run.delivered);
    report.at_least(
        "model verified in both other regions, bytes delivered per second against raw",
        all(|run| run.delivered / run.raw),
        0.5,
        "x",
        &format!(
            "{verified:.2} s after publication, {:.0} MB/s; medians of {RUNS}",
            delivered / 1e6
        ),
    );

    Ok(())
}

async fn replicate(mesh: &Measured, number: u64, bytes: u64) -> Result<Run> {
    let files = tempfile::Builder::new()
        .prefix("regionmesh-figures-")
        .tempdir()?;
    write_noise(&files.path().join("weights.bin"), number, bytes)?;

    let model = format!("{MODEL}-{number}");
    let raw = raw::throughput(bytes).await?;
    touch(bytes * STORED).await?;

    let begin = Instant::now();
    publish(
        mesh,
        &ModelToPublish {
            name: ModelName::new(&model)?,
            path: files.path().to_owned(),
        },
    )
    .await
    .map_err(|error| anyhow!("{error}"))?;

    let published = begin.elapsed();
    let others: Vec<_> = mesh.agents().iter().skip(1).collect();
    mesh.wait_for_model(&others, &model).await?;

    let verified = begin.elapsed() - published;
    let delivered = bytes as f64 * others.len() as f64 / verified.as_secs_f64();
    Ok(Run {
        raw,
        delivered,
        published,
        verified,
    })
}

/// Makes the host of a virtual machine back this many bytes of free memory. A host that reclaims
/// free memory returns it page by page, which is slow and would dominate the measurement. Elsewhere
/// this does next to nothing.
async fn touch(bytes: u64) -> Result<()> {
    let bytes = usize::try_from(bytes)?;
    Ok(tokio::task::spawn_blocking(move || {
        let mut memory = vec![0_u8; bytes];
        memory.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
        std::hint::black_box(&memory);
    })
    .await?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn write_noise(path: &Path, seed: u64, bytes: u64) -> Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut random = StdRng::seed_from_u64(seed);
    let mut block = vec![0; 1 << 20];
    let mut left = bytes;

    while left > 0 {
        random.fill(&mut block[..]);
        let length = left.min(block.len() as u64);
        file.write_all(&block[..length as usize])?;
        left -= length;
    }

    Ok(file.flush()?)
}
