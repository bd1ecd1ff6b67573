#![allow(clippy::unwrap_used)]

mod coverage;
mod trends;

use super::*;
use crate::{
    Amount, CellKey, CellsBuilder, ChargeKind, Currency, Dimension, Metric, Period, PricingClass,
    StoredPart, Sums, day_number, day_of,
};
use proptest::prelude::*;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use time::{Date, macros::date};

/// A charge of a test: what does not matter has a default.
#[derive(Debug, Clone)]
struct Charge {
    source: &'static str,
    day: Date,
    provider: &'static str,
    region: &'static str,
    service: &'static str,
    pricing: PricingClass,
    kind: ChargeKind,
    model: &'static str,
    currency: &'static str,
    units: i128,
}

impl Default for Charge {
    fn default() -> Self {
        Self {
            source: "AWS 1",
            day: date!(2026 - 09 - 01),
            provider: "AWS",
            region: "us-west-2",
            service: "EC2",
            pricing: PricingClass::OnDemand,
            kind: ChargeKind::Usage,
            model: "",
            currency: "USD",
            units: 1,
        }
    }
}

/// A ledger of these charges, imported long after.
fn ledger(charges: &[Charge]) -> Ledger {
    imported(charges, date!(2030 - 01 - 01))
}

fn imported(charges: &[Charge], on: Date) -> Ledger {
    let mut builders: BTreeMap<(&str, Period), CellsBuilder> = BTreeMap::new();
    for charge in charges {
        let builder = builders
            .entry((charge.source, Period::of(charge.day)))
            .or_insert_with(|| CellsBuilder::new(vec!["model".into()]));
        let place = builder.place(&CellKey {
            day: charge.day,
            kind: charge.kind,
            pricing: charge.pricing,
            currency: charge.currency.parse().unwrap(),
            texts: [
                charge.provider,
                "account",
                charge.region,
                "",
                charge.service,
                "Compute",
            ],
            tags: &[charge.model],
        });

        let amount = Amount(charge.units);
        builder.add(
            place,
            Sums {
                effective: amount,
                billed: -amount,
                list: amount,
                rows: 1,
            },
        );
    }

    let imported_ms = day_number(on) as u64 * 86_400_000;
    let mut ledger = Ledger::default();
    for ((source, period), builder) in builders {
        let part = StoredPart::new(
            source.into(),
            period,
            imported_ms,
            "test".into(),
            builder.finish(),
        );

        ledger.insert(Arc::new(part.unwrap()));
    }

    ledger
}

fn mesh(provider: &str, id: &str) -> Option<String> {
    (provider == "Google Cloud" && id == "europe-west1").then(|| "eu-west-1".to_owned())
}

fn unmapped(_: &str, _: &str) -> Option<String> {
    None
}

fn charges() -> impl Strategy<Value = Vec<Charge>> {
    let charge = (
        0..2usize,
        0..70i32,
        0..3usize,
        0..3usize,
        0..2usize,
        0..3usize,
        0..2usize,
        any::<i64>(),
    )
        .prop_map(
            |(source, day, provider, service, pricing, model, currency, units)| Charge {
                source: ["AWS 1", "Google 2"][source],
                day: day_of(day_number(date!(2026 - 08 - 20)) + day).unwrap(),
                provider: ["AWS", "Google Cloud", "Oracle"][provider],
                region: ["us-west-2", "europe-west1", ""][service],
                service: ["EC2", "S3", ""][service],
                pricing: [PricingClass::OnDemand, PricingClass::Spot][pricing],
                kind: ChargeKind::Usage,
                model: ["", "bert", "resnet"][model],
                currency: ["USD", "EUR"][currency],
                units: units.into(),
            },
        );

    prop::collection::vec(charge, 0..60)
}

fn groups() -> impl Strategy<Value = Vec<Group>> {
    let all = [
        "day",
        "week",
        "month",
        "provider",
        "region",
        "service",
        "pricing",
        "charge",
        "model",
        "tag:absent",
    ];

    prop::sample::subsequence(all.to_vec(), 0..=4).prop_map(|names| {
        names
            .into_iter()
            .map(|name| name.parse().unwrap())
            .collect()
    })
}

/// What a report by this group shows for a charge, written another way than the scan does.
fn value(charge: &Charge, group: &Group) -> String {
    let monday =
        charge.day - time::Duration::days(charge.day.weekday().number_days_from_monday().into());
    match group {
        Group::Day => charge.day.to_string(),
        Group::Week => monday.to_string(),
        Group::Month => charge.day.to_string()[..7].to_owned(),
        Group::Provider => charge.provider.to_owned(),
        Group::Region => match (charge.provider, charge.region) {
            (_, "") => String::new(),
            ("Google Cloud", "europe-west1") => "eu-west-1".to_owned(),
            (provider, region) => format!("{provider} {region}"),
        },
        Group::Service => charge.service.to_owned(),
        Group::Pricing => if charge.pricing == PricingClass::Spot {
            "spot"
        } else {
            "on-demand"
        }
        .to_owned(),
        Group::Charge => "usage".to_owned(),
        Group::Model => charge.model.to_owned(),
        _ => String::new(),
    }
}

proptest! {
    #[test]
    fn rows_match_a_naive_scan_and_sum_to_the_totals(
        charges in charges(),
        by in groups(),
        filter in prop::option::of((0..3usize, 0..3usize)),
        start in 0..40i64,
        length in 0..70i64,
    ) {
        let start = date!(2026 - 08 - 15) + time::Duration::days(start);
        let mut query = Query::new(start, start + time::Duration::days(length)).by(by.clone());
        if let Some((a, b)) = filter {
            let texts = [
                "service=EC2",
                "service=",
                "model=bert",
                "region=eu-west-1",
                "region=AWS us-west-2",
            ];

            query.filters = vec![texts[a].parse().unwrap(), texts[b + 2].parse().unwrap()];
        }

        let passes = |charge: &&Charge| {
            let groups: BTreeSet<&Group> =
                query.filters.iter().map(|filter| &filter.group).collect();
            let any = |group: &Group| {
                query
                    .filters
                    .iter()
                    .any(|f| f.group == *group && f.value == value(charge, group))
            };

            (query.start..=query.end).contains(&charge.day) && groups.into_iter().all(any)
        };

        let mut expected: BTreeMap<(Vec<String>, Currency), (i128, u64)> = BTreeMap::new();
        for charge in charges.iter().filter(passes) {
            let values = by.iter().map(|group| value(charge, group)).collect();
            let sum = expected
                .entry((values, charge.currency.parse().unwrap()))
                .or_default();
            *sum = (sum.0 + charge.units, sum.1 + 1);
        }

        let report = report(&ledger(&charges), &query, &mesh).unwrap();
        let found: BTreeMap<_, _> = report
            .rows
            .iter()
            .map(|row| ((row.values.clone(), row.currency), (row.amount.0, row.rows)))
            .collect();

        prop_assert_eq!(found.len(), report.rows.len());
        prop_assert_eq!(&found, &expected);
        for (currency, total) in &report.totals.0 {
            let sum: i128 = expected
                .iter()
                .filter(|((_, of), _)| of == currency)
                .map(|(_, (units, _))| units)
                .sum();

            prop_assert_eq!(total.0, sum);
        }

        prop_assert_eq!(
            report.rows_summed,
            expected.values().map(|(_, rows)| rows).sum::<u64>()
        );
    }

    #[test]
    fn rows_are_in_the_order_that_is_documented(charges in charges()) {
        let query = Query::new(date!(2026 - 01 - 01), date!(2026 - 12 - 31));
        let ledger = ledger(&charges);
        let by_name = report(
            &ledger,
            &query.clone().by([Group::Service, Group::Model]),
            &mesh,
        )
        .unwrap()
        .rows;

        prop_assert!(by_name.is_sorted_by_key(|row| (
            row.currency,
            Reverse(row.amount),
            row.values.clone()
        )));

        let by_time = report(&ledger, &query.by([Group::Day, Group::Model]), &mesh)
            .unwrap()
            .rows;
        prop_assert!(by_time.is_sorted_by_key(|row| (
            row.currency,
            row.values[0].clone(),
            Reverse(row.amount)
        )));
    }
}

#[test]
fn values_beyond_the_pair_table_are_all_found() {
    let mut builder = CellsBuilder::new(Vec::new());
    let names: Vec<String> = (0..1_500).map(|number| number.to_string()).collect();
    for (index, name) in names.iter().enumerate() {
        for other in [index, 1_499 - index, 0] {
            let place = builder.place(&CellKey {
                day: date!(2026 - 09 - 01),
                kind: ChargeKind::Usage,
                pricing: PricingClass::Spot,
                currency: Currency::USD,
                texts: ["AWS", name, "r", "", &names[other], "Compute"],
                tags: &[],
            });

            builder.add(
                place,
                Sums {
                    effective: Amount(index as i128),
                    rows: 1,
                    ..Sums::default()
                },
            );
        }
    }

    let cells = builder.finish();
    let count = cells.len();
    let mut ledger = Ledger::default();
    let part = StoredPart::new(
        "AWS".into(),
        "2026-09".parse().unwrap(),
        0,
        "test".into(),
        cells,
    )
    .unwrap();

    ledger.insert(Arc::new(part));

    let query = Query::new(date!(2026 - 09 - 01), date!(2026 - 09 - 30))
        .by([Group::Account, Group::Service]);
    let report = report(&ledger, &query, &unmapped).unwrap();

    assert_eq!(report.rows.len(), count);
    assert_eq!(
        report.totals.of(Currency::USD),
        Amount(3 * (0..1_500).sum::<i128>())
    );

    assert!(
        report
            .rows
            .iter()
            .all(|row| row.amount.0 % row.values[0].parse::<i128>().unwrap().max(1) == 0)
    );
}

#[test]
fn a_region_has_the_meshs_name_or_else_provider_and_id() {
    let gcp = Charge {
        provider: "Google Cloud",
        region: "europe-west1",
        ..Charge::default()
    };
    let same_name = Charge {
        region: "eu-west-1",
        ..Charge::default()
    };
    let query = Query::new(date!(2026 - 09 - 01), date!(2026 - 09 - 30)).by([Group::Region]);
    let report = report(&ledger(&[gcp, same_name]), &query, &mesh).unwrap();

    let regions: Vec<&str> = report
        .rows
        .iter()
        .map(|row| row.values[0].as_str())
        .collect();

    assert_eq!(regions, ["AWS eu-west-1", "eu-west-1"]);
}

#[test]
fn json_has_decimal_strings_shares_and_texts_of_groups() {
    let charges = [
        Charge {
            model: "bert",
            units: 3 * crate::ONE,
            ..Charge::default()
        },
        Charge {
            model: "",
            units: -crate::ONE / 2,
            ..Charge::default()
        },
    ];

    let query =
        Query::new(date!(2026 - 09 - 01), date!(2026 - 09 - 01)).by([Group::Tag("model".into())]);
    let json = serde_json::to_value(report(&ledger(&charges), &query, &unmapped).unwrap()).unwrap();

    assert_eq!(
        json,
        serde_json::json!({
            "start": "2026-09-01", "end": "2026-09-01", "by": ["tag:model"], "metric": "effective",
            "rows": [
                {"values": ["bert"], "currency": "USD", "amount": "3", "share": 1.2, "rows": 1},
                {"values": [""], "currency": "USD", "amount": "-0.5", "share": -0.2, "rows": 1},
            ],
            "totals": {"USD": "2.5"}, "rows_summed": 2, "warnings": [],
        })
    );
}

#[test]
fn impossible_queries_are_refused() {
    let query = Query::new(date!(2026 - 09 - 02), date!(2026 - 09 - 01));
    let refused = |query: &Query| {
        report(&Ledger::default(), query, &unmapped)
            .unwrap_err()
            .to_string()
    };

    assert_eq!(
        refused(&query),
        "the report ends on 2026-09-01, before it starts on 2026-09-02; swap the dates"
    );

    assert!(refused(&Query::new(Date::MIN, Date::MAX)).contains("at most 3660"));
    let twice =
        Query::new(date!(2026 - 09 - 01), date!(2026 - 09 - 02)).by([Group::Region, Group::Region]);
    assert!(refused(&twice).contains("region is grouped by twice"));
    for bad in ["", "tag:", "regions", "Region", "tag"] {
        assert!(bad.parse::<Group>().is_err(), "{bad}");
    }
    assert!("region".parse::<Filter>().is_err());
    assert_eq!("tag:a=b=c".parse::<Filter>().unwrap().value, "b=c");
}

#[test]
fn all_dimensions_have_a_group() {
    let query = Query::new(date!(2026 - 09 - 01), date!(2026 - 09 - 01));
    let by = [
        "provider", "account", "region", "zone", "service", "category",
    ];

    assert_eq!(by.len(), Dimension::ALL.len());
    let query = query.by(by.map(|name| name.parse().unwrap()));
    let report = report(&ledger(&[Charge::default()]), &query, &unmapped).unwrap();

    assert_eq!(
        report.rows[0].values,
        ["AWS", "account", "AWS us-west-2", "", "EC2", "Compute"]
    );
}
