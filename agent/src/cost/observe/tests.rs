#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use regionmesh_runtime::meter::ModelCount;

fn region(name: &str) -> RegionName {
    name.parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Readers add up the growth of each published counter; the sum must be what was counted,
    /// however many counters there are.
    #[test]
    fn growth_by_name_is_what_was_counted(
        steps in proptest::collection::vec(proptest::collection::vec((0usize..600, 1u64..1_000_000), 1..400), 1..6),
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
