#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    budget::evaluate_budget,
    cells::{CellKey, CellsBuilder, ChargeKind, PricingClass, Sums},
    date::day_number,
    ledger::StoredPart,
    live::{Counters, ModelCounters, NodeGroup, RegionCapacity, SourceCounters},
    money::{Currency, ONE},
    prices::{PriceDefaults, PriceTable, Prices, read_prices},
    regions::{MeshRegion, RegionMap},
};
use proptest::prelude::*;
use std::{ops::RangeInclusive, sync::Arc};
use time::{Duration, macros::date};

fn september(day: u8) -> Date {
    date!(2026 - 09 - 01).replace_day(day).unwrap()
}

fn ms(day: Date) -> u64 {
    day_number(day) as u64 * DAY_MS
}

fn usd(amount: i128) -> Amount {
    Amount(amount * ONE)
}

fn budget(scope: &str) -> Budget {
    serde_json::from_str(&format!(
        r#"{{ "name": "b", "amount": "100 USD", "scope": {scope} }}"#
    ))
    .unwrap()
}

/// The bill of a source for some days of September in us-west-2, `money` a day, imported on the day
/// `imported`.
fn bill(source: &str, days: RangeInclusive<u8>, imported: u8, money: &str) -> Arc<StoredPart> {
    let mut builder = CellsBuilder::new(vec!["model".into(), "team".into()]);
    let (amount, currency) = money.split_once(' ').unwrap();
    for number in days {
        let key = CellKey {
            day: september(number),
            kind: ChargeKind::Usage,
            pricing: PricingClass::OnDemand,
            currency: currency.parse().unwrap(),
            texts: ["AWS", "1", "us-west-2", "", "EC2", "Compute"],
            tags: &["m", "search"],
        };
        let place = builder.place(&key);

        builder.add(
            place,
            Sums {
                effective: amount.parse().unwrap(),
                rows: 1,
                ..Sums::default()
            },
        );
    }

    let period = "2026-09".parse().unwrap();
    Arc::new(
        StoredPart::new(
            source.into(),
            period,
            ms(september(imported)),
            "a".into(),
            builder.finish(),
        )
        .unwrap(),
    )
}

fn bills<const N: usize>(parts: [Arc<StoredPart>; N]) -> Ledger {
    let mut ledger = Ledger::default();
    assert!(parts.into_iter().all(|part| ledger.insert(part)));
    ledger
}

/// A bill of `amount` a day for the days 1 to `days` of September, imported on the last of them.
fn ledger(days: u8, amount: i128) -> Ledger {
    bills([bill("AWS 1", 1..=days, days, &format!("{amount} USD"))])
}

/// What the live plane saw of the region `west`, and its prices.
struct Live {
    meter: LiveMeter,
    prices: Prices,
    regions: RegionMap,
}

impl Live {
    /// One node at `price` per hour from the first of September to the tenth, half busy with the
    /// model `m`.
    fn new(price: &str) -> Self {
        let (amount, currency) = price.split_once(' ').unwrap();
        let table = format!(
            "kind,cloud,region,sku,pricing,amount,currency,unit,valid_from,source\n\
             node,aws,us-west-2,big,on-demand,{amount},{currency},hour,2026-01-01,test\n"
        );
        let mut imported = PriceTable::default();
        let read = read_prices("p.csv", table.as_bytes(), &PriceDefaults::default()).unwrap();

        assert_eq!(read.rejected, []);
        imported.apply(read.prices, false).unwrap();

        let west = "west".to_owned();
        let billing_region = Some("us-west-2".to_owned());
        let regions = RegionMap::new([MeshRegion {
            name: west,
            cloud: "aws".into(),
            billing_region,
        }]);
        let mut live = Self {
            meter: LiveMeter::new(DAY_MS),
            prices: Prices::new(imported),
            regions,
        };

        for day in 0..10 {
            let nodes = vec![NodeGroup {
                sku: "big".into(),
                pricing: PricingClass::OnDemand,
                count: 1,
            }];
            let capacity = RegionCapacity {
                nodes,
                stored: vec![],
                places: 1,
            };

            let did = ModelCounters {
                requests: day,
                busy_ms: day * DAY_MS / 2,
            };
            let counters = &Counters {
                models: [("m".to_owned(), did)].into(),
                egress: vec![],
            };
            let source = SourceCounters {
                source: "agent",
                started_ms: ms(september(1)),
                counters,
            };

            let pricing = Pricing {
                prices: &live.prices,
                regions: &live.regions,
            };

            live.meter.observe(
                "west",
                ms(september(1)) + day * DAY_MS,
                capacity,
                &[source],
                pricing,
            );
        }

        live
    }

    fn pricing(&self) -> Pricing<'_> {
        Pricing {
            prices: &self.prices,
            regions: &self.regions,
        }
    }

    fn billed(&self, budget: &Budget, ledger: &Ledger, today: Date) -> BilledDays {
        let names = |provider: &str, region: &str| {
            self.regions
                .mesh_region_of(provider, region)
                .map(str::to_owned)
        };

        BilledDays::new(ledger, budget, (september(1), today), &names, "model").unwrap()
    }

    fn days(&self, scope: &str, ledger: &Ledger, today: Date) -> BTreeMap<Date, Totals> {
        let billed = self.billed(&budget(scope), ledger, today);
        billed.with_live(
            &self.meter,
            (september(1), today),
            &west(true),
            self.pricing(),
        )
    }

    fn known_to(
        &self,
        scope: &str,
        ledger: &Ledger,
        regions: &MeshNodes,
        today: Date,
    ) -> Option<Date> {
        self.billed(&budget(scope), ledger, today).known_to(
            &self.meter,
            regions,
            today,
            self.pricing(),
        )
    }
}

fn west(has_nodes: bool) -> MeshNodes {
    [("west".to_owned(), has_nodes)].into()
}

fn days(scope: &str, ledger: &Ledger, price: &str) -> BTreeMap<Date, Amount> {
    let days = Live::new(price).days(scope, ledger, september(10));
    days.into_iter()
        .map(|(day, totals)| (day, totals.of(Currency::USD)))
        .collect()
}

fn of_each(days: &BTreeMap<Date, Amount>) -> Vec<Amount> {
    (1..=10)
        .map(|day| days.get(&september(day)).copied().unwrap_or_default())
        .collect()
}

proptest! {
    #[test]
    fn a_period_is_never_forecast_to_cost_less_than_is_spent(
        costs in prop::collection::vec((0..40i64, -50..100i128), 0..40),
        rest in prop::collection::vec(-20..50i128, 0..40),
        known_to in -5..30i64,
        today in 1..=30u8,
    ) {
        let mut days: BTreeMap<Date, Totals> = BTreeMap::new();
        for (day, amount) in costs {
            let money = Money {
                amount: usd(amount),
                currency: Currency::USD,
            };

            days.entry(september(1) + Duration::days(day - 5))
                .or_default()
                .add(money);
        }

        let after = september(1) + Duration::days(known_to);
        let rest: BTreeMap<Date, Amount> = rest
            .iter()
            .zip(0..)
            .map(|(amount, day)| (after + Duration::days(day), usd(*amount)))
            .collect();
        let outlook = outlook(&budget("\"mesh\""), &days, Some(&rest), september(today));
        let forecast = outlook.forecast.unwrap();

        prop_assert!(forecast.of(Currency::USD) >= outlook.spent.of(Currency::USD));
    }
}

#[test]
fn complete_days_use_the_bill_and_others_the_live_plane() {
    // Billed up to the sixth, complete up to the fourth; live cost is 30 a day up to the ninth.
    let spent = of_each(&days("\"mesh\"", &ledger(6, 10), "1.25 USD"));
    assert_eq!(spent, [10, 10, 10, 10, 30, 30, 30, 30, 30, 0].map(usd));

    // A bill above the count takes precedence.
    let spent = days(r#"{ "region": "west" }"#, &ledger(6, 40), "1.25 USD");
    assert_eq!(spent[&september(6)], usd(40));
}

#[test]
fn live_cost_counts_while_a_source_is_late_however_current_the_others_are() {
    let ledger = bills([
        bill("AWS network", 1..=10, 12, "1 USD"),
        bill("AWS nodes", 1..=5, 12, "50 USD"),
    ]);
    let spent = of_each(&days("\"mesh\"", &ledger, "1.25 USD"));

    assert_eq!(spent, [51, 51, 51, 51, 51, 30, 30, 30, 30, 1].map(usd));
}

#[test]
fn a_model_costs_its_share_of_the_nodes_however_little_is_tagged() {
    let of_model = |tagged: &str| {
        let ledger = bills([bill("AWS 1", 1..=5, 12, tagged)]);
        of_each(&days(r#"{ "model": "m" }"#, &ledger, "1.25 USD"))
    };

    // The live plane counts from the second on.
    assert_eq!(
        of_model("1 USD"),
        [1, 15, 15, 15, 15, 15, 15, 15, 15, 0].map(usd)
    );

    assert_eq!(
        of_model("20 USD"),
        [20, 20, 20, 20, 20, 15, 15, 15, 15, 0].map(usd)
    );
}

#[test]
fn a_scope_takes_only_its_own_part() {
    let bill = ledger(6, 10);
    let sum = |scope| {
        days(scope, &bill, "1.25 USD")
            .values()
            .copied()
            .sum::<Amount>()
    };

    assert_eq!(sum(r#"{ "region": "east" }"#), usd(0));
    // The live plane knows no tags.
    assert_eq!(
        sum(r#"{ "tag": { "key": "team", "value": "search" } }"#),
        usd(60)
    );

    assert_eq!(
        sum(r#"{ "tag": { "key": "team", "value": "ads" } }"#),
        usd(0)
    );
}

#[test]
fn costs_are_known_up_to_the_bill_or_while_the_live_plane_covers_the_scope() {
    // Complete up to the fourth; watched up to the ninth.
    let live = Live::new("1.25 USD");
    let bill = ledger(6, 10);
    let mesh = "\"mesh\"";
    let tag = r#"{ "tag": { "key": "team", "value": "search" } }"#;

    assert_eq!(
        live.known_to(mesh, &bill, &west(true), september(9)),
        Some(september(8))
    );

    assert_eq!(
        live.known_to(mesh, &bill, &west(true), september(20)),
        Some(september(9))
    );

    assert_eq!(
        live.known_to(tag, &bill, &west(true), september(9)),
        Some(september(4))
    );

    assert_eq!(
        live.known_to(mesh, &bill, &west(false), september(9)),
        Some(september(4))
    );

    let more: MeshNodes = west(true)
        .into_iter()
        .chain([("east".to_owned(), true)])
        .collect();

    assert_eq!(
        live.known_to(mesh, &bill, &more, september(9)),
        Some(september(4)),
        "east was not watched"
    );

    assert_eq!(
        live.known_to(r#"{ "region": "west" }"#, &bill, &more, september(9)),
        Some(september(8))
    );

    let none = Ledger::default();
    assert_eq!(
        live.known_to(mesh, &none, &west(true), september(10)),
        Some(september(9))
    );

    assert_eq!(live.known_to(tag, &none, &west(true), september(10)), None);
    assert_eq!(
        live.known_to(mesh, &bill, &west(true), date!(2026 - 12 - 01)),
        None,
        "what ended says nothing of today"
    );
}

#[test]
fn days_that_no_bill_has_yet_are_forecast() {
    // 3 a day up to the twentieth, complete up to the eighteenth.
    let live = Live::new("1.25 USD");
    let bill = ledger(20, 3);
    let today = september(24);
    let scope = r#"{ "tag": { "key": "team", "value": "search" } }"#;
    let days = live.days(scope, &bill, today);
    let known_to = live.known_to(scope, &bill, &west(true), today).unwrap();
    let rest = expected_rest(&budget(scope), &days, known_to, today).unwrap();
    let outlook = outlook(&budget(scope), &days, Some(&rest), today);

    assert_eq!(outlook.spent.of(Currency::USD), usd(60));
    assert_eq!(
        outlook.forecast.unwrap().of(Currency::USD).rounded(2),
        "90.00"
    );
}

#[test]
fn todays_cost_counts_as_spent_and_unexpected_cost_raises_the_forecast() {
    let budget = budget("\"mesh\"");
    let cost = |amount| Totals([(Currency::USD, usd(amount))].into());
    let mut days: BTreeMap<Date, Totals> = (1..20).map(|day| (september(day), cost(3))).collect();

    days.insert(september(20), cost(500));
    let rest = expected_rest(&budget, &days, september(19), september(20)).unwrap();
    assert_eq!(
        rest.values().copied().sum::<Amount>().rounded(2),
        "33.00",
        "11 days of 3"
    );

    let outlook = outlook(&budget, &days, Some(&rest), september(20));
    assert_eq!(outlook.spent.of(Currency::USD), usd(557));
    assert_eq!(
        outlook.forecast.unwrap().of(Currency::USD).rounded(2),
        "587.00"
    );
}

#[test]
fn other_currencies_are_named_in_the_period_that_they_were_spent_in_live_or_billed() {
    let spent = |price, billed, today| {
        let budget = budget("\"mesh\"");
        let days = Live::new(price).days(
            "\"mesh\"",
            &bills([bill("AWS 1", 1..=3, 12, billed)]),
            today,
        );
        let state = evaluate_budget(&budget, &outlook(&budget, &days, None, today).spent, None);

        (
            state.spent,
            state.problem.map(|problem| problem.to_string()),
        )
    };

    let (amount, problem) = spent("1.25 USD", "5 EUR", september(10));
    assert_eq!(amount, usd(180), "30 a day after the bill");
    assert!(problem.unwrap().starts_with("costs in EUR are not counted"));
    assert_eq!(
        spent("1.25 USD", "5 EUR", date!(2026 - 10 - 01)),
        (usd(0), None)
    );

    let (amount, problem) = spent("1.25 EUR", "5 USD", september(10));
    assert_eq!(amount, usd(15));
    assert!(problem.unwrap().starts_with("costs in EUR are not counted"));
}
