use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn savings_sum_to_the_difference_of_baseline_and_proposal(
        (placement, state) in states(),
        baseline in 0usize..4,
    ) {
        let mut input = advice(placement, state);
        input.baseline = BaselineName::ALL[baseline];

        let made = recommend(&input).unwrap();
        let sum: Amount = made
            .recommendations
            .iter()
            .map(|made| made.saving.expected)
            .sum();

        prop_assert_eq!(sum, made.baseline.monthly_cost - made.proposal_cost);
        prop_assert_eq!(sum, made.total_saving.expected);
        for one in &made.recommendations {
            let Saving {
                expected,
                low,
                high,
            } = one.saving;

            prop_assert!(
                low <= expected && expected <= high && expected > Amount::ZERO,
                "{:?}",
                one
            );

            prop_assert!(
                one.title.contains(" % of ") && one.title.contains(made.baseline.name.as_str()),
                "{}",
                one.title
            );

            prop_assert_eq!(one.baseline, made.baseline);
        }

        let mut ids: Vec<&str> = made
            .recommendations
            .iter()
            .map(|made| made.id.as_str())
            .collect();

        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), made.recommendations.len(), "ids are not unique");

        let text = serde_json::to_string(&made).unwrap();
        prop_assert_eq!(
            serde_json::from_str::<Recommendations>(&text).unwrap(),
            made
        );
    }

    #[test]
    fn no_copy_is_deleted_twice_and_none_is_relayed_once_deleted((placement, state) in states()) {
        let made = recommend(&advice(placement, state)).unwrap();
        let mut gone = std::collections::BTreeSet::new();
        for one in made.recommendations {
            match one.proposal {
                Proposal::Delete { copies } => {
                    for copy in copies {
                        let is_new = gone.insert((copy.model, copy.region));
                        prop_assert!(is_new, "deleted twice by {}", one.title);
                    }
                }
                Proposal::Relay { model, region, .. } => {
                    prop_assert!(!gone.contains(&(model, region)), "{}", one.title)
                }
                Proposal::Fleet { .. } | Proposal::Autoscale { .. } => {}
            }
        }
    }

    #[test]
    fn node_changes_are_consecutive((placement, state) in states()) {
        let input = advice(placement, state);
        let mut nodes: BTreeMap<_, _> = input.state.nodes.clone();
        for one in recommend(&input).unwrap().recommendations {
            let Proposal::Fleet { nodes: changes, .. } = one.proposal else {
                continue;
            };
            for change in changes {
                let was = nodes
                    .insert(change.region.clone(), change.to)
                    .unwrap_or_default();
                prop_assert_eq!(was, change.from, "{}", one.title);
                prop_assert!(
                    change.to.committed >= was.committed,
                    "a commitment was given up: \
                    {}",
                    one.title
                );
            }
        }
    }
}
