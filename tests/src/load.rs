//! Loads whose requests must all be answered.

use regionmesh::local_mesh::measure::{Load, Sample};

/// Ends a load; fails if one of its requests failed.
pub async fn finish_without_failure(load: Load) -> Vec<Sample> {
    let samples = load.finish().await;
    let failed: Vec<_> = samples
        .iter()
        .filter(|sample| sample.outcome.is_err())
        .collect();

    assert!(
        failed.is_empty(),
        "{} of {}: {failed:?}",
        failed.len(),
        samples.len()
    );

    samples
}
