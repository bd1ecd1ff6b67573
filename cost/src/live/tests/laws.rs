use super::*;

proptest! {
    #[test]
    fn cost_is_additive_over_any_splitting_of_time(
        steps in prop::collection::vec((1..=GAP_MS, 0u32..5), 1..40),
        cuts in prop::collection::vec(1..GAP_MS, 40),
    ) {
        let mut coarse = Setup::new();
        let mut fine = Setup::new();
        let mut now_ms = EVENING_MS;
        let mut running = 1;

        for setup in [&mut coarse, &mut fine] {
            setup.observe(now_ms, running, &[]);
        }

        for ((step_ms, count), cut_ms) in steps.into_iter().zip(cuts) {
            if cut_ms < step_ms {
                fine.observe(now_ms + cut_ms, running, &[]);
            }
            now_ms += step_ms;
            running = count;
            coarse.observe(now_ms, running, &[]);
            fine.observe(now_ms, running, &[]);
        }

        prop_assert_eq!(coarse.meter, fine.meter);
    }

    #[test]
    fn cost_never_falls_and_all_time_is_known_or_unknown(
        steps in prop::collection::vec((-2 * GAP_MS as i64..3 * GAP_MS as i64, 0u32..3), 1..30),
    ) {
        let mut setup = Setup::new();
        let mut now_ms = EVENING_MS;
        setup.observe(now_ms, 1, &[]);

        let mut cost = Amount::ZERO;
        let mut forward_ms = 0;
        for (step_ms, count) in steps {
            let earlier = now_ms;
            now_ms = now_ms.saturating_add_signed(step_ms);
            forward_ms += now_ms.saturating_sub(earlier);
            setup.observe(now_ms, count, &[]);

            let window = setup.window(date!(2026 - 10 - 01), date!(2026 - 11 - 30));
            prop_assert!(window.capacity.of(Currency::USD) >= cost);
            prop_assert!(window.known_ms + window.unknown_ms <= forward_ms);
            cost = window.capacity.of(Currency::USD);
        }
    }

    #[test]
    fn models_and_idle_sum_to_the_capacity_and_regions_to_the_mesh(
        busy in prop::collection::vec(0u64..500_000, 0..5),
        minutes in 1u64..5,
        count in 0u32..4,
    ) {
        let mut setup = Setup::new();
        let models = busy.iter().enumerate().map(|(place, busy_ms)| {
            (
                place.to_string(),
                ModelCounters {
                    requests: 3,
                    busy_ms: *busy_ms,
                },
            )
        });

        let counters = Counters {
            models: models.collect(),
            egress: Vec::new(),
        };
        let source = SourceCounters {
            source: "a",
            started_ms: EVENING_MS,
            counters: &counters,
        };

        setup.observe(EVENING_MS, count, &[]);
        setup.observe(EVENING_MS + minutes * 60_000 + 7, count, &[source]);

        let window = setup.window(EVENING, EVENING);
        let models: Amount = window
            .models
            .values()
            .map(|model| model.cost.of(Currency::USD))
            .sum();

        prop_assert_eq!(
            models + window.idle.of(Currency::USD),
            window.capacity.of(Currency::USD)
        );

        let mut mesh = LiveWindow::default();
        mesh.merge(&window);
        mesh.merge(&window);
        prop_assert_eq!(
            mesh.total.of(Currency::USD),
            window.total.of(Currency::USD) + window.total.of(Currency::USD)
        );
    }

    #[test]
    fn a_restart_changes_nothing(
        steps in prop::collection::vec((0..2 * GAP_MS, 0u32..3, 0u64..1_000), 1..20),
        at in 0usize..20,
    ) {
        let mut one = Setup::new();
        let mut two = Setup::new();
        let mut now_ms = EVENING_MS;
        let mut counted = 0;

        for (place, (step_ms, count, growth)) in steps.into_iter().enumerate() {
            now_ms += step_ms;
            counted += growth;

            let counters = counters(counted, counted, counted);
            let source = SourceCounters {
                source: "a",
                started_ms: 1,
                counters: &counters,
            };

            one.observe(now_ms, count, &[source]);
            two.observe(now_ms, count, &[source]);
            if place == at {
                two.meter = LiveMeter::decode(&two.meter.encode().unwrap(), GAP_MS).unwrap();
            }
        }

        prop_assert_eq!(one.meter, two.meter);
    }

    #[test]
    fn arbitrary_state_never_panics(bytes: Vec<u8>) {
        let _ = LiveMeter::decode(&bytes, GAP_MS);
    }
}
