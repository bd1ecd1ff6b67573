#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::fixture;
use proptest::prelude::*;
use regionmesh_core::gossip::{AgentView, SeenStatus};
use regionmesh_runtime::meter::ModelCount;
use std::time::Instant;

fn region(name: &str) -> RegionName {
    name.parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Readers add up the growth of each published counter; the sum must equal what was counted,
    /// for any number of counters.
    #[test]
    fn growth_by_name_is_what_was_counted(
        steps in proptest::collection::vec(
            proptest::collection::vec((0usize..600, 1u64..1_000_000), 1..400),
            1..6,
        ),
    ) {
        let mut counts = Counts::default();
        let mut before: Option<CostStatus> = None;
        let mut requests = BTreeMap::new();
        let mut sent = BTreeMap::new();
        let mut read_requests = 0;
        let mut read_bytes = 0;

        for step in steps {
            for (number, amount) in step {
                let model = format!("m{number}").parse().unwrap();
                let count: &mut ModelCount = counts.models.entry(model).or_default();
                count.requests += amount;
                count.busy_us += amount * 1_000;

                let to = region(["b", "c", "own"][number % 3]);
                *counts
                    .replicated
                    .entry((to, format!("m{number}").parse().unwrap()))
                    .or_default() += amount;
            }

            let (models, egress) =
                published(&counts, Answers::default(), &region("own"), before.as_ref());
            prop_assert!(models.len() <= MODELS_MAX && egress.len() <= EGRESS_MAX);
            for used in &models {
                let known = requests
                    .insert(used.model.clone(), used.requests)
                    .unwrap_or(0);
                read_requests += used.requests.saturating_sub(known);
            }

            for bytes in &egress {
                let known = sent
                    .insert((bytes.to.clone(), bytes.cause.clone()), bytes.bytes)
                    .unwrap_or(0);
                read_bytes += bytes.bytes.saturating_sub(known);
            }

            before = Some(CostStatus {
                models,
                egress,
                ..CostStatus::default()
            });
        }

        prop_assert_eq!(
            read_requests,
            counts
                .models
                .values()
                .map(|count| count.requests)
                .sum::<u64>()
        );

        let others = counts
            .replicated
            .iter()
            .filter(|((to, _), _)| *to != region("own"));

        prop_assert_eq!(read_bytes, others.map(|(_, bytes)| bytes).sum::<u64>());
    }
}

#[test]
fn a_region_is_observed_once_a_live_agent_has_published_its_counters() {
    let config = fixture::config(&[("us-west-2", "192.0.2.1")], "");
    let board = |is_alive: bool, status_entries: Vec<StatusEntry>| {
        let seen = |status_entry: StatusEntry| {
            (
                status_entry.kind(),
                SeenStatus {
                    status_entry: Arc::new(status_entry),
                    version: Default::default(),
                    seen_at: Instant::now(),
                },
            )
        };

        let view = AgentView {
            is_alive,
            status_entries: status_entries.into_iter().map(seen).collect(),
        };
        let mut board = BoardView::default();

        board.agents.insert("us-west-2/n".parse().unwrap(), view);
        board
    };

    let counters = || vec![StatusEntry::Cost(CostStatus::default())];
    let is_heard = |board: BoardView| is_heard(&config.regions[0], &board);
    assert!(is_heard(board(true, counters())));
    assert!(!is_heard(board(false, counters())));
    assert!(!is_heard(board(true, Vec::new())));
    assert!(!is_heard(BoardView::default()));
}
