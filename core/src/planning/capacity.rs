//! A region's capacity, estimated from the counters of its model servers.
//!
//! Little's law reversed: concurrency divided by the time per inference gives the throughput. The
//! estimate errs on the low side: times count by the upper bounds of their histogram's buckets and
//! include the wait for a place, an agent counts no more places than it has processors, and only
//! half of the result counts. It ignores memory, accelerators and other programs on the machine: if
//! you know the capacity, declare it.

use regionmesh_protocol::status::served::{LATENCY_BOUNDS_MS, Served};

/// Fewer answers in a minute than this give no estimate.
const ANSWERS_MIN: u64 = 100;
/// The part of the estimate that counts, percent.
const COUNTED_PERCENT: u64 = 50;
/// A new estimate within this of the last one is ignored, percent: plans must not follow noise.
const BAND_PERCENT: u64 = 30;

/// The throughput of `places` concurrent inferences at the latencies of `served`, requests per
/// second; none if too little was served.
pub(crate) fn estimate_rps(places: u32, served: &Served) -> Option<u32> {
    let bound_ms = |bucket: usize| {
        LATENCY_BOUNDS_MS
            .get(bucket)
            .copied()
            .unwrap_or(2 * LATENCY_BOUNDS_MS[LATENCY_BOUNDS_MS.len() - 1])
    };

    let answers = served
        .latency
        .iter()
        .fold(0u64, |sum, count| sum.saturating_add(*count));

    if places == 0 || answers < ANSWERS_MIN {
        return None;
    }

    let busy_ms = served
        .latency
        .iter()
        .enumerate()
        .fold(0u128, |sum, (bucket, count)| {
            sum.saturating_add(u128::from(*count) * u128::from(bound_ms(bucket)))
        });
    let rps = u128::from(places) * u128::from(answers) * 1_000 * u128::from(COUNTED_PERCENT)
        / (busy_ms.max(1) * 100);

    Some(u32::try_from(rps).unwrap_or(u32::MAX).max(1))
}

/// The estimate to use next: `current`, until a new one clearly differs. A region that serves too
/// little for an estimate keeps the last one.
pub(crate) fn steady(current: Option<u32>, estimate: Option<u32>) -> Option<u32> {
    let (Some(was), Some(is)) = (current, estimate) else {
        return estimate.or(current);
    };
    let band = u64::from(was) * BAND_PERCENT / 100;

    if u64::from(was).abs_diff(u64::from(is)) <= band {
        Some(was)
    } else {
        Some(is)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
