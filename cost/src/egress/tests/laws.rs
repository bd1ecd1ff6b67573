use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn without_a_bound_on_time_the_tree_is_the_cheapest(
        net in nets(100),
        saving_min_bp in 0u16..3_000,
    ) {
        let plan = net.plan(FanOutLimits {
            saving_min_bp,
            extra_max_ms: u32::MAX,
        });

        prop_assert_eq!(
            plan.cost.of(Currency::USD),
            usd(net.cheapest(saving_min_bp.into())).amount
        );
    }

    #[test]
    fn each_target_is_reached_once_within_the_bounds_and_never_dearer(
        net in nets(90),
        extra_max_ms in 0u32..300,
    ) {
        let limits = FanOutLimits {
            extra_max_ms,
            ..FanOutLimits::default()
        };
        let plan = net.plan(limits);
        let mut path_ms: HashMap<&str, Option<u32>> = HashMap::from([("a", Some(0))]);

        for hop in &plan.hops {
            let sum = path_ms[hop.from.as_str()]
                .zip(net.round_trip(&hop.from, &hop.to))
                .map(|(sum, leg)| sum + leg);
            prop_assert_eq!(path_ms.insert(&hop.to, sum), None);

            if hop.from != "a" {
                let paid = hop.price.unwrap().amount;
                let direct = usd(net.price("a", &hop.to).unwrap()).amount;
                prop_assert!(paid.0 * 10 <= direct.0 * 9 && paid < direct);
                prop_assert!(sum.unwrap() <= net.round_trip("a", &hop.to).unwrap() + extra_max_ms);
            }
        }

        prop_assert_eq!(plan.hops.len(), net.targets);
        prop_assert!(plan.cost.of(Currency::USD) <= plan.direct.of(Currency::USD));

        let unpriced = NAMES[1..=net.targets]
            .iter()
            .filter(|to| net.price("a", to).is_none())
            .count();

        prop_assert_eq!(plan.missing.len(), unpriced);
    }

    #[test]
    fn reports_of_parts_add_up_to_the_whole(
        usage in prop::collection::vec(any_usage(), 0..40),
        cut in 0i64..60,
    ) {
        let prices = example_prices();
        let regions = example_regions();
        let end = START + Duration::days(61);
        let middle = START + Duration::days(cut);
        let whole = egress_report(&usage, (START, end), &prices, &regions);
        let before = egress_report(&usage, (START, middle), &prices, &regions);
        let after = egress_report(&usage, (middle + Duration::DAY, end), &prices, &regions);

        for line in &whole.lines {
            let find = |report: &EgressReport| {
                let same = |other: &&EgressLine| {
                    (&other.from, &other.to, &other.cause) == (&line.from, &line.to, &line.cause)
                };
                report
                    .lines
                    .iter()
                    .find(same)
                    .map_or((0, Amount::ZERO), |line| {
                        (line.bytes, line.cost.of(Currency::USD))
                    })
            };

            let parts = [find(&before), find(&after)];
            let sums = (line.bytes, line.cost.of(Currency::USD));
            prop_assert_eq!((parts[0].0 + parts[1].0, parts[0].1 + parts[1].1), sums);
        }

        let sum: Amount = whole
            .lines
            .iter()
            .map(|line| line.cost.of(Currency::USD))
            .sum();

        prop_assert_eq!(whole.totals.of(Currency::USD), sum);
        let mut shuffled = usage;
        shuffled.reverse();
        prop_assert_eq!(
            egress_report(&shuffled, (START, end), &prices, &regions),
            whole
        );
    }

    #[test]
    fn causes_are_read_as_they_are_written(model in "\\PC{0,12}") {
        for cause in [
            Cause::Replication { model },
            Cause::AnswersAway,
            Cause::Other,
        ] {
            let json = serde_json::to_string(&cause).unwrap();
            prop_assert_eq!(serde_json::from_str::<Cause>(&json).unwrap(), cause);
        }
    }
}
