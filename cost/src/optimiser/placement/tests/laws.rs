use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn node_inequalities_cost_the_same_as_flows_per_loss(input in inputs()) {
        let prepared = Prepared::new(&input).unwrap();
        if prepared.streams.is_empty() {
            return Ok(());
        }

        match (placement(&input), cost_with_flows_for_each_loss(&prepared)) {
            (Ok(found), Some(cost)) => {
                let found = found.monthly.total().to_f64();
                let cost = cost * 730.0;
                prop_assert!(
                    (found - cost).abs() <= 1e-4 * cost + 0.01,
                    "{found} instead of {cost}"
                );
            }
            (Err(PlacementError::Infeasible(reasons)), None) => {
                prop_assert!(!reasons.is_empty());
                prop_assert!(
                    !reasons.contains(&Infeasibility::Together),
                    "no reason was found"
                );
            }
            (found, cost) => prop_assert!(false, "{found:?} instead of {cost:?}"),
        }
    }

    #[test]
    fn every_limit_holds_in_fractions_and_in_whole_nodes(
        mut input in inputs(),
        fixed in prop::option::of(0.1..3.0f64),
        memory_share in prop_oneof![Just(0.0), 0.05..0.9f64],
    ) {
        input
            .regions
            .iter_mut()
            .for_each(|region| region.fixed_per_hour = fixed.map(usd));

        input
            .models
            .iter_mut()
            .for_each(|model| model.memory_share = memory_share);

        let Ok(found) = placement(&input) else {
            return Ok(());
        };
        assert_limits(&input, &found.nodes, &found.flows)?;

        if let Some(whole) = found.whole {
            let nodes = whole
                .nodes
                .iter()
                .map(|(name, nodes)| (name.clone(), fractions(*nodes)))
                .collect();

            assert_limits(&input, &nodes, &whole.flows)?;
        }
    }

    #[test]
    fn a_placement_depends_only_on_its_input(input in inputs()) {
        prop_assert_eq!(placement(&input), placement(&input));
    }

    #[test]
    fn stricter_rules_never_make_it_cheaper(mut input in inputs()) {
        input.rules.survive = 0;
        let free = placement(&input);
        input.rules.survive = 1;

        let survives = placement(&input);
        input.rules.latency_ms *= 0.8;

        let near = placement(&input);
        let cost = |found: &Result<Placement, PlacementError>| {
            found
                .as_ref()
                .map_or(f64::INFINITY, |found| found.monthly.total().to_f64())
        };

        prop_assert!(cost(&free) <= cost(&survives) * (1.0 + 1e-6) + 0.01);
        prop_assert!(cost(&survives) <= cost(&near) * (1.0 + 1e-6) + 0.01);
    }
}
