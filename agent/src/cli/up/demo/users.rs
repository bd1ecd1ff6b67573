//! What users notice, measured from outside.

use super::steps::seconds;
use anyhow::{Context, Result, anyhow, bail, ensure};
use regionmesh::local_mesh::measure::{self, Load, Sample, wait};
use regionmesh_protocol::identity::RegionName;
use regionmesh_serving::iris_probabilities;
use serde_json::json;
use std::time::Duration;

/// Longest wait for any one condition. The goals are far lower, and measured by the figures; the
/// tour also runs on machines that have other things to do.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// A flower with a clear answer, centimetres: row 101 of the data set.
const FLOWER: [f32; 4] = [6.3, 3.3, 6.0, 2.5];
/// How far a probability may be from the one computed in plain arithmetic: single precision in
/// another order.
const TOLERANCE: f32 = 1e-4;

/// Waits until `home` answered the last `count` requests; fails as soon as any request fails.
pub(super) async fn wait_until_served_by(
    load: &Load,
    home: &RegionName,
    count: usize,
) -> Result<()> {
    let is_from = |sample: &Sample| sample.outcome.as_ref().is_ok_and(|by| by == home.as_str());
    let is_served = |samples: &Vec<Sample>| {
        has_failed(samples)
            || samples.len() >= count && samples.iter().rev().take(count).all(is_from)
    };
    let samples = wait(TIMEOUT, || async { load.samples() }, is_served)
        .await
        .with_context(|| format!("users were not served by {home}"))?;

    ensure_none_failed(&samples)
}

/// One inference, compared with plain arithmetic; returns a line about it.
pub(super) async fn check_inference(
    http: &reqwest::Client,
    url: &str,
    home: &RegionName,
) -> Result<String> {
    let question = request();
    let ask = || measure::infer(http, url, &question);

    // A region that was slow for a moment loses its traffic for a moment.
    let is_from = |answer: &Result<(String, bytes::Bytes), String>| {
        answer
            .as_ref()
            .map_or(true, |(region, _)| region == home.as_str())
    };
    let answer = wait(TIMEOUT, ask, is_from)
        .await
        .with_context(|| format!("{home} did not answer"))?;
    let (region, body) = answer.map_err(|why| anyhow!(why))?;
    let answer: serde_json::Value = serde_json::from_slice(&body)?;
    let data = &answer["outputs"][0]["data"];
    let numbers: Vec<f32> =
        serde_json::from_value(data.clone()).with_context(|| format!("no numbers in {answer}"))?;
    let expected = iris_probabilities(FLOWER);

    let is_close = numbers.len() == expected.len()
        && numbers
            .iter()
            .zip(expected)
            .all(|(number, expected)| (number - expected).abs() <= TOLERANCE);

    ensure!(
        is_close,
        "the model answered {numbers:?} instead of {expected:?}"
    );

    Ok(format!("POST {url} -> {numbers:?} from {region}"))
}

/// An inference request.
pub(super) fn request() -> serde_json::Value {
    json!({"inputs": [{
        "name": "measurements",
        "shape": [1, 4],
        "datatype": "FP32",
        "data": FLOWER,
    }]})
}

pub(super) fn has_failed(samples: &[Sample]) -> bool {
    samples.iter().any(|sample| sample.outcome.is_err())
}

/// Fails if any request did, with the first one's reason.
pub(super) fn ensure_none_failed(samples: &[Sample]) -> Result<()> {
    let failed = samples
        .iter()
        .filter_map(|sample| sample.outcome.as_ref().err());
    let Some(first) = failed.clone().next() else {
        return Ok(());
    };
    let within = measure::error_window(samples).map_or(Duration::ZERO, |(from, to)| to - from);

    bail!(
        "{} of {} requests failed, within {}; the first: {first}",
        failed.count(),
        samples.len(),
        seconds(within)
    )
}

/// How users were served after the kill; fails if any request failed.
pub(super) fn experience(
    samples: &[Sample],
    killed: Duration,
    home: &RegionName,
) -> Result<String> {
    let after: Vec<Sample> = samples
        .iter()
        .filter(|sample| sample.sent + sample.took >= killed)
        .cloned()
        .collect();

    ensure_none_failed(&after)?;
    let last = after
        .iter()
        .rev()
        .find_map(|sample| sample.outcome.as_ref().ok())
        .context("no request was answered")?;

    ensure!(
        last != home.as_str(),
        "{home} answers although it was killed"
    );

    let slowest = after
        .iter()
        .map(|sample| sample.took)
        .max()
        .unwrap_or_default();

    Ok(format!(
        "no request failed; the slowest took {}; {last} serves",
        seconds(slowest)
    ))
}
