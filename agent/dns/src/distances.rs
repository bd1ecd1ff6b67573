//! Distances between regions: round-trip times of their agents' probes of each other's endpoints.
//!
//! Measurements are smoothed, and a smoothed value replaces the one in use only once it differs
//! clearly. So a short spike changes no answer, and two regions at similar distances do not keep
//! swapping places. Pure: the board is passed in.

use regionmesh_core::gossip::{AgentView, BoardView};
use regionmesh_protocol::{
    identity::RegionName,
    status::{Observations, StatusEntry, StatusKind, condition::Condition},
};
use std::{collections::BTreeMap, time::Duration};

/// How often the board is polled.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Older observations are ignored: the agent has stopped probing.
const FRESH: Duration = Duration::from_secs(10);
/// Weight of one sample in the smoothed value: three samples take up half of a change.
const WEIGHT: f64 = 0.2;
/// The smoothed value replaces the one in use once it differs by this fraction,
const CLEARLY: f64 = 0.2;
/// and by this time, microseconds: too little for a user to notice.
const CLEARLY_US: f64 = 2_000.0;

/// Times between regions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Distances(BTreeMap<(RegionName, RegionName), Distance>);

#[derive(Debug, Clone, Copy)]
struct Distance {
    smoothed_us: f64,
    counts_us: f64,
}

impl Distances {
    /// Adds the board's current measurements. True if a distance in use changed.
    pub(crate) fn update(&mut self, board: &BoardView) -> bool {
        let mut nearest = BTreeMap::<(RegionName, RegionName), u64>::new();
        for (agent, view) in &board.agents {
            let Some(observations) = fresh(view) else {
                continue;
            };
            for seen in observations
                .regions
                .iter()
                .filter(|seen| seen.condition == Condition::Healthy)
            {
                let Some(round_trip_us) = seen.round_trip_us else {
                    continue;
                };

                // The best of a region's agents: the others are not farther, only busier.
                let best = nearest
                    .entry((agent.region.clone(), seen.region.clone()))
                    .or_insert(u64::MAX);
                *best = round_trip_us.min(*best);
            }
        }

        let mut is_changed = false;
        for (pair, round_trip_us) in nearest {
            is_changed |= self.record(pair, round_trip_us as f64);
        }

        is_changed
    }

    fn record(&mut self, pair: (RegionName, RegionName), round_trip_us: f64) -> bool {
        let mut is_changed = false;
        let distance = self.0.entry(pair).or_insert_with(|| {
            is_changed = true;
            Distance {
                smoothed_us: round_trip_us,
                counts_us: round_trip_us,
            }
        });

        distance.smoothed_us += WEIGHT * (round_trip_us - distance.smoothed_us);
        let difference = (distance.smoothed_us - distance.counts_us).abs();
        if difference > CLEARLY_US && difference > CLEARLY * distance.counts_us {
            distance.counts_us = distance.smoothed_us;
            is_changed = true;
        }

        is_changed
    }

    /// The distance in use between two regions, if measured.
    pub(crate) fn between(&self, from: &RegionName, to: &RegionName) -> Option<Duration> {
        let distance = self.0.get(&(from.clone(), to.clone()))?;
        Some(Duration::from_micros(distance.counts_us.max(0.0) as u64))
    }

    /// All distances in use.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&RegionName, &RegionName, Duration)> {
        self.0.iter().map(|((from, to), distance)| {
            (
                from,
                to,
                Duration::from_micros(distance.counts_us.max(0.0) as u64),
            )
        })
    }
}

fn fresh(view: &AgentView) -> Option<&Observations> {
    let seen = view.status_entries.get(&StatusKind::Observations)?;
    match &*seen.status_entry {
        StatusEntry::Observations(observations)
            if view.is_alive && seen.seen_at.elapsed() <= FRESH =>
        {
            Some(observations)
        }
        _ => None,
    }
}

/// Boards and distances for tests.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests_support {
    use super::*;
    use regionmesh_core::gossip::SeenStatus;
    use regionmesh_protocol::{
        identity::AgentId,
        status::{condition::Observation, entry::EntryVersion},
    };
    use std::{sync::Arc, time::Instant};

    /// A board on which these agents saw these regions answer, with the round trip in microseconds.
    pub(crate) fn board(seen: &[(&str, &str, Condition, u64)]) -> BoardView {
        let mut board = BoardView::default();
        for (agent, region, condition, round_trip_us) in seen {
            let id: AgentId = agent.parse().unwrap();
            let observation = Observation {
                addresses: Vec::new(),
                region: region.parse().unwrap(),
                condition: *condition,
                is_definite: false,
                evidence: String::new(),
                since_ms: 0,
                round_trip_us: Some(*round_trip_us),
            };

            let status_entry = StatusEntry::Observations(Observations {
                regions: vec![observation],
                own: None,
                own_address: None,
            });
            let seen_at = Instant::now();
            let seen = SeenStatus {
                status_entry: Arc::new(status_entry),
                version: EntryVersion::default(),
                seen_at,
            };
            let status_entries = [(StatusKind::Observations, seen)].into();

            board.agents.insert(
                id,
                AgentView {
                    is_alive: true,
                    status_entries,
                },
            );
        }

        board
    }

    /// Distances between regions, milliseconds.
    pub(crate) fn measured(seen: &[(&str, &str, u64)]) -> Distances {
        let mut distances = Distances::default();
        for (from, to, ms) in seen {
            distances.update(&board(&[(
                &format!("{from}/0"),
                to,
                Condition::Healthy,
                ms * 1_000,
            )]));
        }

        distances
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::{tests_support::board, *};
    use proptest::prelude::*;

    fn name(text: &str) -> RegionName {
        text.parse().unwrap()
    }

    #[test]
    fn the_fastest_healthy_agent_of_a_region_sets_its_distance() {
        let mut distances = Distances::default();
        let mut seen = board(&[
            ("a/0", "b", Condition::Healthy, 70_000),
            ("a/1", "b", Condition::Healthy, 60_000),
            ("a/2", "b", Condition::Suspect, 1),
            ("a/3", "b", Condition::Healthy, 2),
        ]);

        seen.agents
            .get_mut(&"a/3".parse().unwrap())
            .unwrap()
            .is_alive = false;

        assert!(distances.update(&seen));
        assert_eq!(
            distances.between(&name("a"), &name("b")),
            Some(Duration::from_millis(60))
        );

        assert_eq!(distances.between(&name("b"), &name("a")), None);
        assert!(!distances.update(&seen), "nothing is new");
    }

    #[test]
    fn a_spike_is_ignored_and_a_lasting_change_applies_within_a_minute() {
        let mut distances = Distances::default();
        let at = |round_trip_us| board(&[("a/0", "b", Condition::Healthy, round_trip_us)]);
        distances.update(&at(60_000));
        assert!(!distances.update(&at(100_000)), "one sample");
        for _ in 0..20 {
            distances.update(&at(60_000));
        }
        assert_eq!(
            distances
                .between(&name("a"), &name("b"))
                .unwrap()
                .as_millis(),
            60
        );

        let samples = (0..100)
            .position(|_| distances.update(&at(150_000)))
            .unwrap();
        assert!(samples < 12, "{samples} samples");
    }

    proptest! {
        #[test]
        fn noise_of_ten_percent_never_changes_a_distance(
            base in 100u64..1_000_000,
            noise in proptest::collection::vec(-0.09f64..0.09, 1..200),
        ) {
            let mut distances = Distances::default();
            distances.update(&board(&[("a/0", "b", Condition::Healthy, base)]));
            for part in noise {
                let round_trip_us = (base as f64 * (1.0 + part)) as u64;
                prop_assert!(!distances.update(&board(&[(
                    "a/0",
                    "b",
                    Condition::Healthy,
                    round_trip_us
                )])));
            }
        }
    }
}
