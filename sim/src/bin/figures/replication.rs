//! A large model: published in one region, verified in both others, compared with a raw QUIC connection.

use crate::{
    mesh::{Measured, PATIENCE},
    raw,
    report::Report,
};
use anyhow::{Context, Result, anyhow};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use regionmesh::cli::up::{
    measure::wait,
    publish::{ModelToPublish, publish},
};
use regionmesh_protocol::{manifest::ModelName, plan::Strategy};
use std::{io::Write, path::Path, time::Instant};

const MODEL: &str = "weights";

/// Measures one model of `bytes`. Its content is noise: nothing of it is stored twice, nothing can be compressed.
pub(crate) async fn measure(report: &mut Report, bytes: u64) -> Result<()> {
    eprintln!("A model of {} MiB, against one raw QUIC connection ...", bytes >> 20);
    let files = tempfile::Builder::new().prefix("regionmesh-figures-").tempdir()?;
    let file = files.path().join("weights.bin");
    write_noise(&file, bytes)?;
    let mesh = Measured::start(Strategy::Weighted, |_| {}).await?;
    mesh.settled().await?;
    let raw = raw::throughput(bytes).await?;

    let begin = Instant::now();
    publish(&mesh, &ModelToPublish { name: ModelName::new(MODEL)?, path: files.path().to_owned() })
        .await
        .map_err(|error| anyhow!("{error}"))?;
    let published = begin.elapsed();
    let others: Vec<_> = mesh.agents().iter().skip(1).collect();
    let hold = |seen: &Vec<_>| seen.len() == others.len() && seen.iter().all(holds_it);
    wait(PATIENCE * 2, || mesh.all(&others), hold).await.context("the model did not arrive everywhere")?;
    let verified = begin.elapsed() - published;
    mesh.stop().await;

    let delivered = bytes as f64 * others.len() as f64 / verified.as_secs_f64();
    report.note("one raw QUIC connection", format!("{:.0} MB/s", raw / 1e6));
    report.note("publication accepted, verified where it was published", format!("{:.2} s", published.as_secs_f64()));
    report.at_least(
        "model verified in both other regions, bytes delivered per second against raw",
        delivered / raw,
        0.5,
        "x",
        &format!("{:.2} s after publication, {:.0} MB/s", verified.as_secs_f64(), delivered / 1e6),
    );
    Ok(())
}

/// Whether the answering agent's own region holds the model.
fn holds_it(status: &regionmesh::api::types::Status) -> bool {
    let region = status.answered_by.split('/').next().unwrap_or_default();
    let versions = status.models.iter().filter(|known| known.model == MODEL).flat_map(|known| &known.versions);
    versions.flat_map(|version| &version.regions).any(|holder| holder.as_str() == region)
}

fn write_noise(path: &Path, bytes: u64) -> Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    let (mut random, mut block) = (StdRng::seed_from_u64(1), vec![0; 1 << 20]);
    let mut left = bytes;
    while left > 0 {
        random.fill(&mut block[..]);
        let length = left.min(block.len() as u64);
        file.write_all(&block[..length as usize])?;
        left -= length;
    }
    Ok(file.flush()?)
}
