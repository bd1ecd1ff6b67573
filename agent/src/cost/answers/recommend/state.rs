//! The current state that recommendations start from.

use super::offers::Offered;
use crate::cost::answers::{holdings, sources::Sources};
use regionmesh_cost::{CurrentState, LiveWindow, Utilisation};
use regionmesh_protocol::identity::RegionName;
use time::Date;

/// Assumed ratio of peak to mean requests until a whole quarter of an hour was counted.
pub(super) const PEAK_OF_MEAN: f64 = 2.0;

/// The nodes, load and stored models of the regions, observed from `start` to `end`.
pub(super) fn state(
    offered: &[Offered<'_>],
    sources: &Sources,
    (start, end): (Date, Date),
) -> CurrentState {
    let busy = |name: &RegionName| {
        let mut shares = Vec::new();
        let mut peak = 0f64;
        let mut next = Some(start);

        while let Some(day) = next.filter(|day| *day <= end) {
            next = day.next_day();
            let window = sources
                .live
                .window(name.as_str(), (day, day), sources.pricing());
            if window.place_ms > 0 {
                let share = (window.busy_ms as f64 / window.place_ms as f64).min(1.0);
                shares.push(share);
                peak = peak.max(share * peak_of_mean(&window));
            }
        }

        let base = shares.iter().copied().reduce(f64::min)?;
        let day_max = shares.iter().copied().fold(0.0, f64::max);
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;

        Some(Utilisation {
            base,
            mean: mean.clamp(base, day_max),
            peak: peak.clamp(day_max, 1.0),
        })
    };

    let regions = || offered.iter().map(|offered| offered.region);
    let mut state = CurrentState {
        nodes: offered
            .iter()
            .map(|offered| (offered.region.name.clone(), offered.nodes))
            .collect(),
        utilisation: regions()
            .filter_map(|region| Some((region.name.clone(), busy(&region.name)?)))
            .collect(),
        autoscaled: regions()
            .filter(|region| region.follows_load())
            .map(|region| region.name.clone())
            .collect(),
        weights_bp: regions()
            .map(|region| (region.name.clone(), region.weight_bp))
            .collect(),
        ..CurrentState::default()
    };

    holdings::add(&mut state, sources, (start, end));
    state
}

/// The ratio of peak to mean requests in a window, over all models.
fn peak_of_mean(window: &LiveWindow) -> f64 {
    let requests = window
        .models
        .values()
        .fold(0u64, |sum, did| sum.saturating_add(did.requests));
    let mean_rps = requests as f64 / (window.known_ms as f64 / 1e3).max(1.0);
    let peaks = window.models.values().filter_map(|did| did.peak_rps());

    match peaks
        .reduce(|sum, peak| sum + peak)
        .filter(|_| mean_rps > 0.0)
    {
        Some(peak_rps) => (peak_rps / mean_rps).max(1.0),
        None => PEAK_OF_MEAN,
    }
}
