#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    CellKey, CellsBuilder, ChargeKind, PricingClass, StoredPart, WarningKind, day_number, day_of,
};
use proptest::prelude::*;
use std::sync::Arc;
use time::macros::date;

const DAY: Date = date!(2026 - 09 - 01);

/// Day of the month, region, category, kind, pricing, model, currency, units of 1e-15.
type Charge = (
    i32,
    &'static str,
    &'static str,
    ChargeKind,
    PricingClass,
    &'static str,
    &'static str,
    i128,
);

fn ledger(charges: &[Charge]) -> Ledger {
    let mut builder = CellsBuilder::new(vec!["model".into()]);
    for (day, region, category, kind, pricing, model, currency, units) in charges {
        let place = builder.place(&CellKey {
            day: day_of(day_number(DAY) + day - 1).unwrap(),
            kind: *kind,
            pricing: *pricing,
            currency: currency.parse().unwrap(),
            texts: ["AWS", "1", region, "", "service", category],
            tags: &[model],
        });

        builder.add(
            place,
            crate::Sums {
                effective: Amount(*units),
                rows: 1,
                ..Default::default()
            },
        );
    }

    let mut ledger = Ledger::default();
    let period = "2026-09".parse().unwrap();
    let part = StoredPart::new(
        "AWS 1".into(),
        period,
        1_900_000_000_000,
        "test".into(),
        builder.finish(),
    )
    .unwrap();

    ledger.insert(Arc::new(part));
    ledger
}

fn own_name(_: &str, id: &str) -> Option<String> {
    Some(id.to_owned())
}

fn used(day: i32, region: &str, model: &str, requests: u64, busy_ms: u64) -> UsageDay {
    let day = day_of(day_number(DAY) + day - 1).unwrap();
    UsageDay {
        day,
        region: region.into(),
        model: model.into(),
        requests,
        busy_ms,
    }
}

fn allocated(charges: &[Charge], usage: &[UsageDay], capacity: &Capacity) -> Allocation {
    allocate(&ledger(charges), &september(), usage, capacity, &own_name).unwrap()
}

fn september() -> Query {
    Query::new(DAY, date!(2026 - 09 - 30))
}

const USAGE: ChargeKind = ChargeKind::Usage;
const ON_DEMAND: PricingClass = PricingClass::OnDemand;

fn charges() -> impl Strategy<Value = Vec<Charge>> {
    let charge = (
        1..4i32,
        0..2usize,
        0..3usize,
        0..5usize,
        0..3usize,
        0..3usize,
        0..2usize,
        any::<i64>(),
    )
        .prop_map(
            |(day, region, category, kind, pricing, model, currency, units)| {
                let kinds = [
                    USAGE,
                    ChargeKind::Purchase,
                    ChargeKind::Tax,
                    ChargeKind::Credit,
                    ChargeKind::Adjustment,
                ];

                (
                    day,
                    ["us-west-2", "eu-west-1"][region],
                    ["Compute", "ai and machine learning", "Storage"][category],
                    kinds[kind],
                    [ON_DEMAND, PricingClass::Unused, PricingClass::Spot][pricing],
                    ["", "bert", "resnet"][model],
                    ["USD", "EUR"][currency],
                    units.into(),
                )
            },
        );

    prop::collection::vec(charge, 0..40)
}

fn usage() -> impl Strategy<Value = Vec<UsageDay>> {
    let busy = prop_oneof![Just(0), 1..100u64, Just(u64::MAX)];
    let one = (1..5i32, 0..3usize, 0..3usize, 0..1_000u64, busy).prop_map(
        |(day, region, model, requests, busy_ms)| {
            used(
                day,
                ["us-west-2", "eu-west-1", "ap-south-1"][region],
                ["bert", "resnet", "gpt"][model],
                requests,
                busy_ms,
            )
        },
    );

    prop::collection::vec(one, 0..20)
}

proptest! {
    #[test]
    fn models_idle_and_unallocated_are_the_whole_region(
        charges in charges(),
        usage in usage(),
        capacity in prop::collection::btree_map(
            (1..5i32, 0..2usize),
            prop_oneof![Just(0), 1..500u64, Just(u64::MAX)],
            0..6,
        ),
    ) {
        let capacity: Capacity = capacity
            .into_iter()
            .map(|((day, region), ms)| {
                (
                    (
                        used(day, "", "", 0, 0).day,
                        ["us-west-2", "eu-west-1"][region].to_owned(),
                    ),
                    ms,
                )
            })
            .collect();

        let allocation = allocated(&charges, &usage, &capacity);

        let mut expected: BTreeMap<(&str, &str), i128> = BTreeMap::new();
        for charge in &charges {
            *expected.entry((charge.1, charge.6)).or_default() += charge.7;
        }
        prop_assert_eq!(allocation.regions.len(), expected.len());
        for region in &allocation.regions {
            let models = allocation.by_region.iter().filter(|model| {
                model.region.as_deref() == Some(&*region.region)
                    && model.currency == region.currency
            });
            let models: Amount = models.map(|model| model.cost).sum();

            prop_assert_eq!(models, region.models);
            let whole = models + region.idle + region.unallocated;
            prop_assert_eq!(
                whole.0,
                expected[&(&*region.region, region.currency.as_str())]
            );

            prop_assert_eq!(region.total, whole);
        }

        for (currency, total) in &allocation.totals.0 {
            let regions = allocation
                .regions
                .iter()
                .filter(|region| region.currency == *currency);

            prop_assert_eq!(regions.map(|region| region.total).sum::<Amount>(), *total);
            let one = |models: &[ModelCost]| -> (Amount, u64) {
                let models = models.iter().filter(|model| model.currency == *currency);
                models.fold(Default::default(), |sum, model| {
                    (sum.0 + model.cost, sum.1 + model.requests)
                })
            };

            prop_assert_eq!(one(&allocation.models), one(&allocation.by_region));
        }
    }
}

#[test]
fn shared_capacity_is_split_by_busy_time_and_the_rest_is_idle() {
    let charge = |category, kind, pricing, model, units| {
        (1, "us-west-2", category, kind, pricing, model, "USD", units)
    };
    let charges = [
        charge("Compute", USAGE, ON_DEMAND, "", 1_000),
        charge("Compute", USAGE, ON_DEMAND, "bert", 70),
        charge("Compute", ChargeKind::Credit, ON_DEMAND, "", -100),
        charge("Compute", USAGE, PricingClass::Unused, "", 11),
        charge("Compute", ChargeKind::Tax, ON_DEMAND, "", 30),
        charge("Compute", ChargeKind::Purchase, ON_DEMAND, "", 500),
        charge("Storage", USAGE, ON_DEMAND, "", 4),
    ];

    let usage = [
        used(1, "us-west-2", "bert", 2_000, 30),
        used(1, "us-west-2", "resnet", 500, 20),
    ];
    let capacity = Capacity::from([((DAY, "us-west-2".to_owned()), 100)]);
    let allocation = allocate(
        &ledger(&charges),
        &Query::new(DAY, DAY),
        &usage,
        &capacity,
        &own_name,
    )
    .unwrap();

    let region = &allocation.regions[0];
    assert_eq!(region.models, Amount(270 + 180 + 70));
    assert_eq!(region.idle, Amount(450 + 11));
    assert_eq!(region.unallocated, Amount(30 + 500 + 4));
    assert_eq!(region.idle_bp, Some(5_000));

    let bert = &allocation.models[0];
    assert_eq!(
        (bert.model.as_str(), bert.region.as_deref()),
        ("bert", None)
    );

    assert_eq!(
        (bert.tagged, bert.shared, bert.cost),
        (Amount(70), Amount(270), Amount(340))
    );

    assert_eq!(bert.per_1000, Some(Amount(170)));
    assert_eq!((bert.requests, bert.busy_ms), (2_000, 30));
    assert!(allocation.warnings.is_empty(), "{:?}", allocation.warnings);
}

#[test]
fn without_a_known_capacity_busy_time_pays_for_everything_and_no_idle_ratio_is_reported() {
    let charges = [(1, "us-west-2", "Compute", USAGE, ON_DEMAND, "", "USD", 100)];
    let usage = [
        used(1, "us-west-2", "bert", 0, 30),
        used(1, "us-west-2", "resnet", 5, 10),
    ];
    let allocation = allocated(&charges, &usage, &Capacity::new());

    assert_eq!(
        (allocation.regions[0].models, allocation.regions[0].idle),
        (Amount(100), Amount::ZERO)
    );

    assert_eq!(allocation.regions[0].idle_bp, None);
    assert_eq!(allocation.models[0].cost, Amount(75));
    assert_eq!(allocation.models[0].per_1000, None);
}

#[test]
fn days_without_usage_data_are_unallocated_and_usage_without_a_bill_does_not_count() {
    let charges = [
        (1, "us-west-2", "Compute", USAGE, ON_DEMAND, "", "USD", 100),
        (2, "us-west-2", "Compute", USAGE, ON_DEMAND, "", "USD", 200),
    ];
    let usage = [
        used(1, "us-west-2", "bert", 10, 5),
        used(3, "us-west-2", "bert", 90, 5),
        used(1, "eu-west-1", "bert", 9, 9),
    ];

    let allocation = allocated(&charges, &usage, &Capacity::new());

    assert_eq!(
        (
            allocation.regions[0].models,
            allocation.regions[0].unallocated
        ),
        (Amount(100), Amount(200))
    );

    assert_eq!(allocation.models[0].requests, 10);

    let about: Vec<(WarningKind, &str)> = allocation
        .warnings
        .iter()
        .map(|warning| (warning.kind, warning.message.as_str()))
        .collect();

    assert!(about.contains(&(
        WarningKind::UsageMissing,
        "us-west-2: no usage data on 2026-09-02; 0.00 USD of serving cost is unallocated"
    )));

    assert!(about.contains(&(
        WarningKind::UsageNotBilled,
        "us-west-2: no charges on 2026-09-03; usage on these days is left out"
    )));

    assert!(
        about
            .iter()
            .any(|(_, message)| message.starts_with("eu-west-1: no charges on 2026-09-01"))
    );
}
