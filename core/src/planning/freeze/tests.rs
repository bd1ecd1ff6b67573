//! Laws of the local answer: it leaves out what is refused, and never answers nothing.

use super::*;
// Not the whole prelude: its `Strategy` is another one.
use proptest::prelude::{Just, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::strategy::Strategy as Generator;
use std::net::IpAddr;

fn name(region: &str) -> RegionName {
    region.parse().unwrap()
}

fn part(weight_bp: u16, has_address: bool, absence: Option<Absence>) -> RegionPlan {
    let addresses = has_address
        .then(|| IpAddr::from([192, 0, 2, 1]))
        .into_iter()
        .collect();

    RegionPlan {
        weight_bp,
        addresses,
        absence,
        ..RegionPlan::default()
    }
}

fn plan(parts: &[(&str, RegionPlan)]) -> Plan {
    Plan {
        regions: parts
            .iter()
            .map(|(region, part)| (name(region), part.clone()))
            .collect(),
        ..Plan::default()
    }
}

fn places(names: &[&str]) -> BTreeMap<RegionName, Place> {
    let place = |(priority, region): (u16, &&str)| {
        (
            name(region),
            Place {
                weight_bp: FULL_WEIGHT_BP,
                priority,
            },
        )
    };

    (0..).zip(names).map(place).collect()
}

const HEALTHY: OwnView = OwnView {
    condition: Condition::Healthy,
    is_definite: false,
};
const SILENT: OwnView = OwnView {
    condition: Condition::Failed,
    is_definite: false,
};
const REFUSED: OwnView = OwnView {
    condition: Condition::Failed,
    is_definite: true,
};

fn view() -> impl Generator<Value = OwnView> {
    let suspect = OwnView {
        condition: Condition::Suspect,
        is_definite: false,
    };
    prop_oneof![3 => Just(HEALTHY), 1 => Just(suspect), 1 => Just(SILENT), 3 => Just(REFUSED)]
}

proptest! {
    #[test]
    fn a_refusing_region_is_omitted_while_another_answers_and_the_answer_is_never_empty(
        parts in prop::collection::vec(
            (prop_oneof![Just(0u16), 1u16..=10_000], any::<bool>(), any::<bool>()),
            1..6,
        ),
        sights in prop::collection::vec(prop::option::weighted(0.9, view()), 6),
        weights in prop::collection::vec(prop_oneof![Just(0u16), 1u16..=10_000], 6),
        is_active_passive: bool,
        is_withdrawn: bool,
    ) {
        let names = ["a", "b", "c", "d", "e", "f"];
        let absence = |is_drained: bool| is_drained.then_some(Absence::Ordered);
        let parts: Vec<_> = names
            .iter()
            .zip(&parts)
            .map(|(region, (weight_bp, has_address, is_drained))| {
                (
                    *region,
                    part(*weight_bp, *has_address, absence(*is_drained)),
                )
            })
            .collect();

        let seen: BTreeMap<_, _> = names
            .iter()
            .zip(sights)
            .filter_map(|(region, view)| Some((name(region), view?)))
            .collect();
        let mut places = places(&names);

        places
            .values_mut()
            .zip(weights)
            .for_each(|(place, weight_bp)| place.weight_bp = weight_bp);

        let strategy = if is_active_passive {
            Strategy::ActivePassive
        } else {
            Strategy::Weighted
        };
        let plan = plan(&parts);

        let refused: BTreeSet<_> = plan
            .carrying()
            .map(|(region, _)| region.clone())
            .filter(|region| {
                !is_withdrawn && seen.get(region).is_some_and(|view| view.is_definite)
            })
            .collect();
        let is_healthy = |region: &RegionName| {
            seen.get(region) == Some(&HEALTHY) && !plan.regions[region].addresses.is_empty()
        };
        let answer = local_answer(&plan, is_withdrawn, &seen, strategy, &places);
        let has_reason = is_withdrawn || !refused.is_empty();

        prop_assert_eq!(
            answer.is_some(),
            has_reason && plan.regions.keys().any(is_healthy)
        );

        let Some(answer) = answer else { return Ok(()) };
        prop_assert_eq!(&answer.left_out, &refused);
        prop_assert!(plan.regions.keys().eq(answer.weights.keys()));
        prop_assert!(
            answer
                .weights
                .iter()
                .any(|(region, weight_bp)| *weight_bp > 0 && is_healthy(region)),
            "{:?}",
            answer
        );

        for (region, weight_bp) in &answer.weights {
            let planned = plan.regions[region].weight_bp;
            prop_assert!(!refused.contains(region) || *weight_bp == 0);
            if is_withdrawn {
                prop_assert!(
                    *weight_bp == 0 || seen.get(region) == Some(&HEALTHY),
                    "{region} is answered: {answer:?}"
                );
                continue;
            }

            // Who is not refused keeps what the plan gives it, and who is added is healthy.
            prop_assert!(
                refused.contains(region)
                    || *weight_bp == planned
                    || (planned == 0 && is_healthy(region))
            );
        }
    }

    #[test]
    fn a_plan_is_frozen_exactly_while_no_leader_was_known_for_the_stated_time(
        steps in prop::collection::vec((0u64..4_000, any::<bool>()), 1..40),
    ) {
        let mut watch = FreezeWatch::default();
        let mut now_ms = 0;
        let mut led_ms = None;
        let mut leaderless: Option<u64> = None;

        for (after_ms, is_led) in steps {
            now_ms += after_ms;
            leaderless = if is_led {
                None
            } else {
                leaderless.or(Some(now_ms))
            };

            led_ms = if is_led { Some(now_ms) } else { led_ms };
            let frozen = watch.observe(is_led, now_ms);
            prop_assert_eq!(
                frozen,
                leaderless.filter(|since_ms| now_ms - since_ms >= FROZEN_AFTER_MS)
            );

            prop_assert!(
                frozen.is_none_or(|since_ms| led_ms.is_none_or(|led_ms| led_ms <= since_ms))
            );
        }
    }
}

#[test]
fn the_survivor_of_an_active_passive_mesh_answers_with_itself() {
    let plan = plan(&[
        ("a", part(0, true, None)),
        ("b", part(10_000, true, None)),
        ("c", part(0, true, None)),
    ]);
    let seen = [
        (name("a"), REFUSED),
        (name("b"), REFUSED),
        (name("c"), HEALTHY),
    ]
    .into();

    let answer = local_answer(
        &plan,
        false,
        &seen,
        Strategy::ActivePassive,
        &places(&["a", "b", "c"]),
    )
    .unwrap();

    assert_eq!(answer.left_out, [name("b")].into());
    assert_eq!(
        answer.weights.values().copied().collect::<Vec<_>>(),
        [0, 0, FULL_WEIGHT_BP]
    );
}

#[test]
fn a_withdrawn_plan_is_answered_only_with_healthy_regions() {
    let plan = plan(&[
        ("a", part(0, true, None)),
        ("b", part(5_000, true, None)),
        ("c", part(10_000, true, None)),
    ]);
    let mut seen: BTreeMap<_, _> = [
        (name("a"), REFUSED),
        (name("b"), SILENT),
        (name("c"), REFUSED),
    ]
    .into();

    let weights = |seen: &_| {
        let answer = local_answer(
            &plan,
            true,
            seen,
            Strategy::ActivePassive,
            &places(&["a", "b", "c"]),
        )?;

        assert!(answer.left_out.is_empty(), "the plan answers none");
        Some(answer.weights.into_values().collect::<Vec<_>>())
    };

    assert_eq!(weights(&seen), None);
    seen.insert(name("c"), HEALTHY);
    assert_eq!(weights(&seen), Some(vec![0, 0, 10_000]));

    // One that the plan gives nothing, where it is the only one.
    seen.insert(name("c"), REFUSED);
    seen.insert(name("a"), HEALTHY);
    assert_eq!(weights(&seen), Some(vec![FULL_WEIGHT_BP, 0, 0]));
}

#[test]
fn silence_alone_omits_no_region() {
    let plan = plan(&[
        ("a", part(10_000, true, None)),
        ("b", part(10_000, true, None)),
    ]);
    let seen = [(name("a"), SILENT), (name("b"), HEALTHY)].into();

    assert_eq!(
        local_answer(
            &plan,
            false,
            &seen,
            Strategy::Weighted,
            &places(&["a", "b"])
        ),
        None
    );
}

#[test]
fn a_drained_region_is_answered_only_where_no_other_is_healthy() {
    let drained = part(0, true, Some(Absence::Ordered));
    let parts = [
        ("a", part(10_000, true, None)),
        ("b", drained),
        ("c", part(0, true, Some(Absence::Failed))),
    ];
    let mut seen: BTreeMap<_, _> = [
        (name("a"), REFUSED),
        (name("b"), HEALTHY),
        (name("c"), HEALTHY),
    ]
    .into();

    let weights = |seen: &_| {
        let answer = local_answer(
            &plan(&parts),
            false,
            seen,
            Strategy::Weighted,
            &places(&["a", "b", "c"]),
        );

        answer.unwrap().weights.into_values().collect::<Vec<_>>()
    };

    assert_eq!(weights(&seen), [0, 0, 10_000]);
    seen.insert(name("c"), SILENT);
    assert_eq!(weights(&seen), [0, 10_000, 0]);
}
