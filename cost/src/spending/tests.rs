#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    cells::{CellKey, CellsBuilder, ChargeKind, PricingClass, Sums},
    date::day_number,
    ledger::StoredPart,
    live::{NodeGroup, RegionCapacity},
    money::ONE,
    prices::{PriceDefaults, PriceTable, Prices, read_prices},
    regions::{MeshRegion, RegionMap},
};
use std::sync::Arc;
use time::macros::date;

const DAY_MS: u64 = 86_400_000;

fn ms(day: Date) -> u64 {
    day_number(day) as u64 * DAY_MS
}

fn usd(amount: i128) -> Amount {
    Amount(amount * ONE)
}

fn budget(scope: &str) -> Budget {
    serde_json::from_str(&format!(r#"{{ "name": "b", "amount": "100 USD", "scope": {scope} }}"#)).unwrap()
}

/// A bill of `amount` a day in us-west-2 for the days 1 to `days` of September, imported on the last of them.
fn ledger(days: u8, amount: i128) -> Ledger {
    let mut builder = CellsBuilder::new(vec!["team".into()]);
    for number in 1..=days {
        let day = date!(2026 - 09 - 01).replace_day(number).unwrap();
        let key = CellKey {
            day,
            kind: ChargeKind::Usage,
            pricing: PricingClass::OnDemand,
            currency: Currency::USD,
            texts: ["AWS", "1", "us-west-2", "", "EC2", "Compute"],
            tags: &["search"],
        };
        let place = builder.place(&key);
        builder.add(place, Sums { effective: usd(amount), rows: 1, ..Sums::default() });
    }
    let imported_ms = ms(date!(2026 - 09 - 01).replace_day(days).unwrap());
    let period = "2026-09".parse().unwrap();
    let part = StoredPart::new("AWS 1".into(), period, imported_ms, "a".into(), builder.finish()).unwrap();
    let mut ledger = Ledger::default();
    ledger.insert(Arc::new(part));
    ledger
}

fn regions() -> RegionMap {
    RegionMap::new([MeshRegion { name: "west".into(), cloud: "aws".into(), billing_region: Some("us-west-2".into()) }])
}

/// One node at `price` per hour, from the first to the tenth of September.
fn live(price: &str, regions: &RegionMap) -> (LiveMeter, Prices) {
    let table = format!(
        "kind,cloud,region,sku,pricing,amount,currency,unit,valid_from,source\n\
         node,aws,us-west-2,big,on-demand,{price},USD,hour,2026-01-01,test\n"
    );
    let mut imported = PriceTable::default();
    let read = read_prices("p.csv", table.as_bytes(), &PriceDefaults::default()).unwrap();
    assert_eq!(read.rejected, []);
    imported.apply(read.prices, false).unwrap();
    let prices = Prices::new(imported);
    let mut live = LiveMeter::new(DAY_MS);
    let nodes = vec![NodeGroup { sku: "big".into(), pricing: PricingClass::OnDemand, count: 1 }];
    for day in 0..10 {
        let capacity = RegionCapacity { nodes: nodes.clone(), stored: vec![], places: 1 };
        let now_ms = ms(date!(2026 - 09 - 01)) + day * DAY_MS;
        live.observe("west", now_ms, capacity, &[], Pricing { prices: &prices, regions });
    }
    (live, prices)
}

fn days(scope: &str, ledger: &Ledger, price: &str) -> BTreeMap<Date, Amount> {
    let regions = regions();
    let (live, prices) = live(price, &regions);
    let names = |provider: &str, region: &str| regions.mesh_region_of(provider, region).map(str::to_owned);
    let span = (date!(2026 - 09 - 01), date!(2026 - 09 - 10));
    let budget = budget(scope);
    let billed = BilledDays::new(ledger, &budget, span, &names, "model").unwrap();
    let pricing = Pricing { prices: &prices, regions: &regions };
    billed.with_live(&live, span, budget.metric, &["west".into()], pricing)
}

#[test]
fn complete_days_are_as_billed_and_others_as_high_as_the_live_plane_says() {
    // Billed up to the sixth, complete up to the fourth; live cost is 30 a day.
    let spent = days("\"mesh\"", &ledger(6, 10), "1.25");
    let of = |day: u8| spent.get(&date!(2026 - 09 - 01).replace_day(day).unwrap()).copied();
    assert_eq!([of(1), of(4)], [Some(usd(10)); 2]);
    assert_eq!([of(5), of(6), of(9)], [Some(usd(30)); 3]);
    // A bill that is already higher than what was counted stands.
    let spent = days(r#"{ "region": "west" }"#, &ledger(6, 40), "1.25");
    assert_eq!(spent[&date!(2026 - 09 - 06)], usd(40));
}

#[test]
fn a_scope_takes_its_own_part_alone() {
    let bill = ledger(6, 10);
    let sum = |scope| days(scope, &bill, "1.25").values().copied().sum::<Amount>();
    assert_eq!(sum(r#"{ "region": "east" }"#), usd(0));
    // The live plane knows no tags.
    assert_eq!(sum(r#"{ "tag": { "key": "team", "value": "search" } }"#), usd(60));
    assert_eq!(sum(r#"{ "tag": { "key": "team", "value": "ads" } }"#), usd(0));
}

#[test]
fn today_counts_as_spent_and_the_forecast_never_falls_below_it() {
    let budget = budget("\"mesh\"");
    let mut days: BTreeMap<Date, Amount> =
        (1..20).map(|day| (date!(2026 - 09 - 01).replace_day(day).unwrap(), usd(3))).collect();
    let today = date!(2026 - 09 - 20);
    days.insert(today, usd(500));
    let rest = expected_rest(&budget, &days, today).unwrap();
    assert_eq!(rest.map(|rest| rest.rounded(2)), Some("33.00".into()), "11 days of 3");
    let outlook = outlook(&budget, &days, &Totals::default(), rest, today);
    assert_eq!(outlook.spent.of(Currency::USD), usd(557));
    assert_eq!(outlook.forecast.map(|totals| totals.of(Currency::USD)), Some(usd(557)));
}
