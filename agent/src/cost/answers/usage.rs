//! Use and egress of past days: from the live plane, or for older days from the stored meters.

use super::sources::Sources;
use regionmesh_cost::{Capacity, EgressUsage, LiveMeter, UsageDay};
use time::Date;

/// Use by model, and capacity, from `start` to `end`.
pub(super) fn usage(sources: &Sources, start: Date, end: Date) -> (Vec<UsageDay>, Capacity) {
    let mut usage = Vec::new();
    let mut capacity = Capacity::new();
    for region in sources.mesh_regions() {
        let mut next = Some(start);
        while let Some(day) = next.filter(|day| *day <= end) {
            next = day.next_day();
            let window =
                meters(sources).map(|meter| meter.window(&region, (day, day), sources.pricing()));
            let Some(window) = window
                .max_by_key(|window| window.known_ms)
                .filter(|window| window.known_ms > 0)
            else {
                continue;
            };

            if window.place_ms > 0 {
                capacity.insert((day, region.clone()), window.place_ms);
            }
            usage.extend(window.models.iter().map(|(model, did)| UsageDay {
                day,
                region: region.clone(),
                model: model.clone(),
                requests: did.requests,
                busy_ms: did.busy_ms,
            }));
        }
    }

    (usage, capacity)
}

/// Egress from `start` to `end`; for each day, of the meter that counted the most bytes.
pub(super) fn egress(sources: &Sources, start: Date, end: Date) -> Vec<EgressUsage> {
    let mut sent = Vec::new();
    let mut next = Some(start);
    while let Some(day) = next.filter(|day| *day <= end) {
        next = day.next_day();
        let of_day = meters(sources).map(|meter| meter.egress_usage((day, day)));
        sent.extend(
            of_day
                .max_by_key(|sent| {
                    sent.iter()
                        .fold(0u64, |sum, sent| sum.saturating_add(sent.bytes))
                })
                .unwrap_or_default(),
        );
    }

    sent
}

fn meters(sources: &Sources) -> impl Iterator<Item = &LiveMeter> {
    std::iter::once(&*sources.live).chain(sources.usage.iter().map(|meter| &**meter))
}
