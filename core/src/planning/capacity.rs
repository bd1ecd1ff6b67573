//! What a region could serve at most, estimated from what its model servers tell of themselves.
//!
//! Little's law the other way round: so many inferences may run at once, each takes so long, so at
//! most so many are answered in a second. The estimate errs on the low side: times count by the
//! upper bounds of their histogram's buckets and hold the wait for a place, an agent counts no more
//! places than it has processors, and of the result half is believed. It says nothing of memory,
//! accelerators or what is shared with other programs: where a number is known, declare it.

use regionmesh_protocol::status::served::{LATENCY_BOUNDS_MS, Served};

/// Fewer answers in a minute than this tell nothing.
const ANSWERS_MIN: u64 = 100;
/// What of the estimate is believed, percent.
const BELIEVED_PERCENT: u64 = 50;
/// Within this of the estimate that stands a new one is no news, percent: plans must not follow
/// noise.
const BAND_PERCENT: u64 = 30;

/// The most that `places` inferences at once can serve at the latencies of `served`, requests per
/// second; none where too little was served to tell.
pub fn estimate_rps(places: u32, served: &Served) -> Option<u32> {
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
    let rps = u128::from(places) * u128::from(answers) * 1_000 * u128::from(BELIEVED_PERCENT)
        / (busy_ms.max(1) * 100);

    Some(u32::try_from(rps).unwrap_or(u32::MAX).max(1))
}

/// The estimate to go on with: the one that `stands` until a new one is clearly another. A region
/// that serves too little to tell keeps what was known.
pub fn steady(stands: Option<u32>, estimate: Option<u32>) -> Option<u32> {
    let (Some(was), Some(is)) = (stands, estimate) else {
        return estimate.or(stands);
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
