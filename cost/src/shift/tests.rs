#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use proptest::prelude::*;

const REGIONS: [&str; 4] = ["a", "b", "c", "d"];

fn name(region: &str) -> RegionName {
    region.parse().unwrap()
}

fn region(cost: i64) -> ShiftRegion {
    ShiftRegion {
        weight_bp: 10_000,
        factor_bp: FACTOR_MAX_BP,
        cost_per_million: Amount(i128::from(cost) * crate::money::ONE),
        capacity_rps: Some(10_000),
        is_serving: true,
        latency_ms: REGIONS.iter().map(|other| (name(other), 100)).collect(),
    }
}

fn input(costs: &[i64]) -> ShiftInput {
    ShiftInput {
        regions: REGIONS
            .iter()
            .zip(costs)
            .map(|(known, cost)| (name(known), region(*cost)))
            .collect(),
        total_rps: 1_000,
        currency: Currency::USD,
        latency_bound_ms: 150,
        is_enabled: true,
        has_orders: false,
        has_ramps: false,
        last_step_ms: None,
        now_ms: 1_000_000_000,
    }
}

/// Shares of traffic in floating point: another way to reckon than the rule's.
fn shares(
    input: &ShiftInput,
    factor: impl Fn(&RegionName, &ShiftRegion) -> u16,
) -> BTreeMap<RegionName, f64> {
    let weight = |(name, region): (&RegionName, &ShiftRegion)| {
        (
            name.clone(),
            f64::from(weighted_bp(region.weight_bp, factor(name, region))),
        )
    };
    let weights: BTreeMap<RegionName, f64> = input.regions.iter().map(weight).collect();
    let sum: f64 = weights.values().sum();

    weights
        .into_iter()
        .map(|(name, weight)| (name, weight / sum))
        .collect()
}

fn moved(from: &BTreeMap<RegionName, f64>, to: &BTreeMap<RegionName, f64>) -> f64 {
    from.iter()
        .map(|(name, share)| (to[name] - share).max(0.0))
        .sum()
}

/// What changes from one call to the next.
type Change = (
    u64,
    [i64; 4],
    [Option<u32>; 4],
    [u32; 4],
    u32,
    [bool; 3],
    [bool; 4],
    [u16; 4],
);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let often = || prop::bool::weighted(0.97);
    let rare = || prop::bool::weighted(0.03);
    let capacity = || prop::option::weighted(0.9, 100u32..3_000);
    let change = (
        prop_oneof![1u64..20 * 60_000, Just(STEP_INTERVAL_MS)],
        prop::array::uniform4(0i64..200),
        prop::array::uniform4(capacity()),
        prop::array::uniform4(50u32..160),
        0u32..2_000,
        (often(), rare(), rare()).prop_map(|(on, orders, ramps)| [on, orders, ramps]),
        prop::array::uniform4(often()),
        prop::array::uniform4(prop_oneof![Just(10_000u16), 0u16..=10_000]),
    );

    // Prices and loads mostly stay for some calls.
    prop::collection::vec((change, 1usize..12), 1..10).prop_map(|runs| {
        runs.into_iter()
            .flat_map(|(change, times)| vec![change; times])
            .collect()
    })
}

fn apply(input: &mut ShiftInput, change: &Change) {
    let (elapsed_ms, costs, capacities, latencies, rps, [on, orders, ramps], serving, weights) =
        change;
    input.now_ms += elapsed_ms;
    input.total_rps = *rps;
    (input.is_enabled, input.has_orders, input.has_ramps) = (*on, *orders, *ramps);

    for (index, region) in input.regions.values_mut().enumerate() {
        region.cost_per_million = Amount(i128::from(costs[index]) * crate::money::ONE);
        region.capacity_rps = capacities[index];
        region
            .latency_ms
            .values_mut()
            .for_each(|latency_ms| *latency_ms = latencies[index]);

        region.is_serving = serving[index];
        region.weight_bp = weights[index];
    }
}

fn adopt(input: &mut ShiftInput, outcome: &ShiftOutcome) {
    for (name, factor_bp) in &outcome.factors_bp {
        input.regions.get_mut(name).unwrap().factor_bp = *factor_bp;
    }
    if outcome.is_step {
        input.last_step_ms = Some(input.now_ms);
    }
}

/// Regions that receive traffic can serve it and are near enough to those that give it.
fn check_receivers(
    input: &ShiftInput,
    normal: &BTreeMap<RegionName, f64>,
    after: &BTreeMap<RegionName, f64>,
) -> Result<(), TestCaseError> {
    for (name, region) in &input.regions {
        let share = after[name];
        if share <= normal[name] + 1e-12 {
            continue;
        }

        let load = share * f64::from(input.total_rps);
        prop_assert!(
            load <= f64::from(region.capacity_rps.unwrap()) / 1.1 + 1e-6,
            "{name} gets {load}"
        );

        for donor in normal
            .keys()
            .filter(|donor| after[*donor] < normal[*donor] - 1e-12)
        {
            prop_assert!(
                region.latency_ms[donor] <= input.latency_bound_ms,
                "{donor} to {name} is too far"
            );
        }
    }

    Ok(())
}

/// Every limit, for one call.
fn check(input: &ShiftInput, outcome: &ShiftOutcome) -> Result<(), TestCaseError> {
    let normal = shares(input, |_, _| FACTOR_MAX_BP);
    let before = shares(input, |_, region| region.factor_bp);
    let after = shares(input, |name, _| outcome.factors_bp[name]);
    let is_normal = outcome
        .factors_bp
        .values()
        .all(|factor| *factor == FACTOR_MAX_BP);
    let is_changed = input
        .regions
        .iter()
        .any(|(name, region)| outcome.factors_bp[name] != region.factor_bp);

    prop_assert_eq!(outcome.is_step, is_changed);
    prop_assert!(
        outcome
            .factors_bp
            .values()
            .all(|factor| (FACTOR_MIN_BP..=FACTOR_MAX_BP).contains(factor))
    );

    if is_normal {
        return Ok(());
    }

    let all_serve = input.regions.values().all(|region| region.is_serving);
    prop_assert!(
        input.is_enabled && !input.has_orders && !input.has_ramps && all_serve,
        "moved while it may not"
    );

    prop_assert!(
        moved(&normal, &after) <= 0.2 + 1e-9,
        "{} is moved",
        moved(&normal, &after)
    );

    if is_changed {
        prop_assert!(
            moved(&before, &after) <= 0.05 + 1e-9,
            "{} in a step",
            moved(&before, &after)
        );

        let since = input.last_step_ms.map(|last| input.now_ms - last);
        prop_assert!(
            since.is_none_or(|since| since >= STEP_INTERVAL_MS),
            "a step after {since:?} ms"
        );
    }

    check_receivers(input, &normal, &after)
}

proptest! {
    #[test]
    fn no_sequence_of_inputs_breaks_a_limit(changes in changes()) {
        let mut input = input(&[10, 20, 30, 40]);
        for change in &changes {
            apply(&mut input, change);
            let outcome = next_factors(&input);
            check(&input, &outcome)?;
            adopt(&mut input, &outcome);
        }
    }

    #[test]
    fn a_broken_condition_returns_everything_immediately(
        factors in prop::array::uniform4(FACTOR_MIN_BP..=FACTOR_MAX_BP),
        broken in 0usize..4,
        last_ms in 0u64..2_000_000_000,
    ) {
        let mut input = input(&[10, 20, 30, 40]);
        input
            .regions
            .values_mut()
            .zip(factors)
            .for_each(|(region, factor_bp)| region.factor_bp = factor_bp);

        input.last_step_ms = Some(last_ms);
        match broken {
            0 => input.is_enabled = false,
            1 => input.has_orders = true,
            2 => input.has_ramps = true,
            _ => input.regions.get_mut(&name("b")).unwrap().is_serving = false,
        }

        let outcome = next_factors(&input);
        prop_assert!(
            outcome
                .factors_bp
                .values()
                .all(|factor| *factor == FACTOR_MAX_BP)
        );

        prop_assert_eq!(outcome.monthly_saving, Amount::ZERO);
    }

    #[test]
    fn it_converges_and_never_costs_more(
        costs in prop::array::uniform4(0i64..200),
        capacity in 100u32..2_000,
    ) {
        let mut input = input(&costs);
        input
            .regions
            .values_mut()
            .for_each(|region| region.capacity_rps = Some(capacity));

        let mut saved = Amount::ZERO;
        let mut steps = 0;
        for _ in 0..60 {
            input.now_ms += STEP_INTERVAL_MS;
            let outcome = next_factors(&input);
            prop_assert!(
                outcome.monthly_saving >= saved,
                "{} after {}",
                outcome.monthly_saving,
                saved
            );

            saved = outcome.monthly_saving;
            steps += usize::from(outcome.is_step);
            adopt(&mut input, &outcome);
        }

        prop_assert!(steps <= 20, "{steps} steps");
        prop_assert!(!next_factors(&input).is_step);
    }

    #[test]
    fn fluctuations_of_two_percent_reverse_nothing(
        costs in prop::array::uniform4(50i64..200),
        noise in prop::collection::vec((prop::array::uniform4(-2i64..=2), -2i64..=2), 60),
    ) {
        let mut input = input(&costs);
        let mut before: BTreeMap<RegionName, u16> = BTreeMap::new();
        for (prices, load) in noise {
            input.now_ms += STEP_INTERVAL_MS;
            input.total_rps = u32::try_from(1_000 + load * 10).unwrap();
            for ((region, cost), percent) in input.regions.values_mut().zip(costs).zip(prices) {
                region.cost_per_million =
                    Amount(i128::from(cost * (100 + percent)) * crate::money::ONE / 100);
            }

            let outcome = next_factors(&input);
            let dearest = costs.iter().copied().max().unwrap();
            for (index, (region, factor)) in outcome.factors_bp.iter().enumerate() {
                let is_back = before.get(region).is_some_and(|before| factor > before);
                prop_assert!(
                    !is_back || costs[index] < dearest,
                    "the dearest region got traffic \
                    back"
                );
            }

            before.clone_from(&outcome.factors_bp);
            adopt(&mut input, &outcome);
        }
    }

    #[test]
    fn prices_within_five_percent_of_each_other_move_nothing(
        noise in prop::collection::vec(prop::array::uniform4(98i64..=102), 1..20),
    ) {
        let mut input = input(&[100; 4]);
        for costs in noise {
            input.now_ms += STEP_INTERVAL_MS;
            for (region, cost) in input.regions.values_mut().zip(costs) {
                region.cost_per_million = Amount(i128::from(cost) * crate::money::ONE);
            }
            prop_assert!(!next_factors(&input).is_step);
        }
    }

    #[test]
    fn any_numbers_are_accepted(
        weights: [u16; 4],
        factors: [u16; 4],
        costs in prop::array::uniform4(any::<i128>()),
        total_rps: u32,
        now_ms: u64,
        last_step_ms: Option<u64>,
    ) {
        let mut input = input(&[1, 2, 3, 4]);
        for (index, region) in input.regions.values_mut().enumerate() {
            (region.weight_bp, region.factor_bp) = (weights[index], factors[index]);
            region.cost_per_million = Amount(costs[index]);
        }

        (input.total_rps, input.now_ms, input.last_step_ms) = (total_rps, now_ms, last_step_ms);
        let outcome = next_factors(&input);
        prop_assert!(
            outcome
                .factors_bp
                .values()
                .all(|factor| (FACTOR_MIN_BP..=FACTOR_MAX_BP).contains(factor))
        );
    }
}

#[test]
fn traffic_leaves_the_dearest_region_in_steps_of_five_points() {
    let mut input = input(&[20, 40]);
    let mut shares = Vec::new();
    for _ in 0..6 {
        let outcome = next_factors(&input);
        adopt(&mut input, &outcome);
        let factor = f64::from(outcome.factors_bp[&name("b")]);
        shares.push((factor / (factor + 10_000.0) * 100.0).round());
        input.now_ms += STEP_INTERVAL_MS;
    }

    // A factor of a half ends it at a third of the traffic.
    assert_eq!(shares, [45.0, 40.0, 35.0, 33.0, 33.0, 33.0]);

    let outcome = next_factors(&input);
    assert_eq!(
        outcome.reason,
        "cost: 16.66 % of the traffic is moved from b to a and saves 8760.00 USD a month against \
            normal weights"
    );

    assert_eq!(outcome.monthly_saving.rounded(2), "8760.00");
}

#[test]
fn a_second_step_waits_a_quarter_of_an_hour() {
    let mut input = input(&[20, 40]);
    let first = next_factors(&input);
    adopt(&mut input, &first);
    input.now_ms += STEP_INTERVAL_MS - 1;
    assert!(!next_factors(&input).is_step);
    input.now_ms += 1;
    assert!(next_factors(&input).is_step);
}

#[test]
fn a_region_too_far_away_or_of_unknown_capacity_gets_no_traffic() {
    let mut unknown = input(&[20, 40]);
    unknown.regions.get_mut(&name("a")).unwrap().capacity_rps = None;
    assert!(!next_factors(&unknown).is_step);

    let mut far = input(&[20, 40]);
    far.latency_bound_ms = 99;
    assert!(!next_factors(&far).is_step);
}
