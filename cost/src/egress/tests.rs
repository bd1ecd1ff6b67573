#![allow(clippy::unwrap_used, clippy::panic)]

mod laws;

use super::*;
use crate::{
    money::{Currency, ONE},
    prices::{PriceDefaults, PriceTable, read_prices},
    regions::MeshRegion,
};
use proptest::prelude::*;
use std::{collections::HashMap, fs::File, io::Read, path::Path};
use time::{Duration, macros::date};

const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const START: Date = date!(2026 - 10 - 01);

fn usd(cents: u64) -> Money {
    Money {
        amount: Amount(ONE / 100 * i128::from(cents)),
        currency: Currency::USD,
    }
}

fn no_price(region: &str) -> NoPrice {
    NoPrice::Region {
        region: region.into(),
    }
}

/// A mesh of six regions: prices in cents and round trips in milliseconds; some are not known.
#[derive(Debug, Clone)]
struct Net {
    prices: Vec<Option<u64>>,
    round_trips: Vec<Option<u32>>,
    targets: usize,
}

impl Net {
    fn pair(from: &str, to: &str) -> usize {
        let place = |name| NAMES.iter().position(|known| *known == name).unwrap();
        place(from) * NAMES.len() + place(to)
    }

    fn price(&self, from: &str, to: &str) -> Option<u64> {
        self.prices[Self::pair(from, to)]
    }

    fn round_trip(&self, from: &str, to: &str) -> Option<u32> {
        self.round_trips[Self::pair(from, to)]
    }

    fn plan(&self, limits: FanOutLimits) -> FanOut {
        let price =
            |from: &str, to: &str| self.price(from, to).map(usd).ok_or_else(|| no_price(to));
        fan_out(
            "a",
            &NAMES[1..=self.targets],
            &price,
            &|from, to| self.round_trip(from, to),
            limits,
        )
    }

    /// The cheapest tree of all that keep the saving, by trying each parent for each target.
    fn cheapest(&self, saving_bp: u64) -> u64 {
        let mut best = u64::MAX;
        let count = self.targets + 1;
        for choice in 0..count.pow(self.targets as u32) {
            let parents: Vec<usize> = (0..self.targets)
                .scan(choice, |rest, _| Some((*rest % count, *rest /= count).0))
                .collect();
            let to_root = |mut at: usize| {
                (0..=count).any(|_| (at == 0, at = if at == 0 { 0 } else { parents[at - 1] }).0)
            };
            let cost = |to: usize| {
                let parent = parents[to - 1];
                let direct = self.price("a", NAMES[to])?;
                let paid = self.price(NAMES[parent], NAMES[to])?;
                let is_kept = parent == 0
                    || (paid < direct && paid * 10_000 <= direct * (10_000 - saving_bp));

                (is_kept && parent != to).then_some(paid)
            };

            if (1..count).all(to_root)
                && let Some(sum) = (1..count).map(cost).sum::<Option<u64>>()
            {
                best = best.min(sum);
            }
        }

        best
    }
}

fn nets(known_percent: u8) -> impl Strategy<Value = Net> {
    let pairs = NAMES.len() * NAMES.len();
    let maybe = move |range: std::ops::Range<u64>| {
        (range, 0u8..100).prop_map(move |(value, chance)| (chance < known_percent).then_some(value))
    };
    let prices = prop::collection::vec(maybe(0..12), pairs);
    let round_trips = prop::collection::vec(maybe(1..300), pairs);

    (prices, round_trips, 1..5usize).prop_map(|(prices, round_trips, targets)| Net {
        prices,
        round_trips: round_trips
            .into_iter()
            .map(|ms| ms.map(|ms| ms as u32))
            .collect(),
        targets,
    })
}

fn any_usage() -> impl Strategy<Value = EgressUsage> {
    (0i64..62, 0usize..3, 0usize..4, 0usize..3, 0u64..5 << 40).prop_map(
        |(day, from, to, cause, bytes)| EgressUsage {
            day: START + Duration::days(day),
            from: ["us-west-2", "eu-west-1", "lost"][from].into(),
            to: [
                Some("us-west-2".into()),
                Some("eu-west-1".into()),
                Some("lost".into()),
                None,
            ][to]
                .clone(),
            cause: [
                Cause::AnswersAway,
                Cause::Other,
                Cause::Replication { model: "m".into() },
            ][cause]
                .clone(),
            bytes,
        },
    )
}

fn example_regions() -> RegionMap {
    let region = |(name, cloud): (&str, &str)| MeshRegion {
        name: name.into(),
        cloud: cloud.into(),
        billing_region: None,
    };

    RegionMap::new(
        [
            ("us-west-2", "aws"),
            ("eu-west-1", "gcp"),
            ("ap-south-1", "azure"),
            ("lost", "aws"),
        ]
        .map(region),
    )
}

/// The built-in prices, and one that rises on 10 October.
fn example_prices() -> Prices {
    let text = "kind,from,to,amount,valid_from\negress,gcp:europe-west1,internet,0.3,2026-10-10\n";
    let mut table = PriceTable::default();
    table
        .apply(
            read_prices("p.csv", text.as_bytes(), &PriceDefaults::default())
                .unwrap()
                .prices,
            false,
        )
        .unwrap();

    Prices::new(table)
}

fn sent(day: u8, from: &str, to: Option<&str>, gib: u64) -> EgressUsage {
    let day = START.replace_day(day).unwrap();
    EgressUsage {
        day,
        from: from.into(),
        to: to.map(Into::into),
        cause: Cause::AnswersAway,
        bytes: gib << 30,
    }
}

#[test]
fn bytes_cost_the_price_of_their_day_through_the_tiers_of_the_month() {
    let usage = [
        sent(9, "eu-west-1", None, 1_000),
        sent(9, "eu-west-1", Some("us-west-2"), 48),
        sent(10, "eu-west-1", None, 10),
        sent(11, "eu-west-1", Some("eu-west-1"), 10),
        sent(11, "lost", Some("eu-west-1"), 7),
    ];

    let report = egress_report(
        &usage,
        (START, date!(2026 - 10 - 31)),
        &example_prices(),
        &example_regions(),
    );

    let costs: Vec<_> = report
        .lines
        .iter()
        .map(|line| (line.to.as_deref(), line.cost.of(Currency::USD).rounded(4)))
        .collect();

    // 1,024 GiB at 0.12 and 24 at 0.11 are shared by 1,000 and 48; then 10 at 0.3; then nothing
    // within the region.
    let expected = [
        (None, "122.7710"),
        (Some("eu-west-1"), "0.0000"),
        (Some("us-west-2"), "5.7490"),
        (Some("eu-west-1"), "0.0000"),
    ];

    assert_eq!(costs, expected.map(|(to, cost)| (to, cost.to_owned())));
    assert_eq!(report.totals.of(Currency::USD).rounded(4), "128.5200");
    assert_eq!(report.missing, [no_price("lost")]);
    assert_eq!(
        (report.lines[3].bytes, report.lines[3].unpriced_bytes),
        (7 << 30, 7 << 30)
    );
}

#[test]
fn tiers_count_from_the_first_of_the_month() {
    let usage = [
        sent(2, "eu-west-1", None, 1_024),
        sent(5, "eu-west-1", None, 10),
    ];
    let fifth = START.replace_day(5).unwrap();
    let cost = |usage: &[EgressUsage]| {
        egress_report(
            usage,
            (fifth, fifth),
            &Prices::default(),
            &example_regions(),
        )
        .totals
        .of(Currency::USD)
    };

    assert_eq!(cost(&usage).to_string(), "1.1");
    assert_eq!(cost(&usage[1..]).to_string(), "1.2");

    let september = EgressUsage {
        day: START - Duration::DAY,
        ..usage[0].clone()
    };

    assert_eq!(cost(&[september, usage[1].clone()]).to_string(), "1.2");
}

#[test]
fn sources_are_ordered_by_region_cloud_price_round_trip_and_name() {
    let source = |region: &str, cloud: &str, price: Option<u64>, round_trip_ms| ReplicationSource {
        region: region.into(),
        cloud: cloud.into(),
        price: price.map(usd),
        round_trip_ms,
    };

    let sources = vec![
        source("g", "gcp", None, Some(1)),
        source("f", "gcp", Some(9), None),
        source("e", "gcp", Some(9), Some(90)),
        source("d", "gcp", Some(9), Some(20)),
        source("c", "gcp", Some(2), Some(300)),
        source("b", "aws", Some(12), Some(300)),
        source("a", "aws", None, None),
        source("here", "aws", None, None),
    ];

    let tiers = source_tiers("here", "aws", sources);
    let names = |tier: &Vec<ReplicationSource>| {
        tier.iter()
            .map(|source| source.region.as_str())
            .collect::<String>()
    };

    assert_eq!(
        tiers.iter().map(names).collect::<Vec<_>>(),
        ["here", "b", "a", "c", "def", "g"]
    );
}

#[test]
fn amounts_of_another_currency_are_not_compared() {
    let price = |from: &str, to: &str| {
        let currency = if (from, to) == ("b", "c") {
            "EUR"
        } else {
            "USD"
        }
        .parse()
        .unwrap();

        Ok(Money {
            amount: Amount(if from == "a" { 9 } else { 1 }),
            currency,
        })
    };

    let plan = fan_out(
        "a",
        &["b", "c"],
        &price,
        &|_, _| Some(1),
        FanOutLimits::default(),
    );

    let hops: Vec<_> = plan
        .hops
        .iter()
        .map(|hop| (hop.from.as_str(), hop.to.as_str()))
        .collect();

    assert_eq!(hops, [("a", "c"), ("c", "b")]);
}

#[test]
fn more_regions_than_are_relayed_are_sent_to_directly() {
    let names: Vec<String> = (0..40).map(|place| format!("r{place}")).collect();
    let targets: Vec<&str> = names.iter().map(String::as_str).collect();
    let price = |from: &str, _: &str| Ok(usd(if from == "s" { 9 } else { 1 }));
    let plan = fan_out(
        "s",
        &targets,
        &price,
        &|_, _| Some(1),
        FanOutLimits::default(),
    );

    assert!(plan.hops.len() == 40 && plan.hops.iter().all(|hop| hop.from == "s"));
    let plan = fan_out(
        "s",
        &targets[..31],
        &price,
        &|_, _| Some(1),
        FanOutLimits::default(),
    );

    assert_eq!(plan.cost.of(Currency::USD), usd(9 + 30).amount);
}

/// Prices in dollars per gigabyte and round trips in milliseconds, by pair of regions; `None`
/// without the data.
fn skyplane() -> Option<[HashMap<(String, String), String>; 2]> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/skyplane-network");
    if !folder.exists() {
        return None;
    }

    let read = |name: &str, from: usize, to: usize, value: usize| {
        let mut text = String::new();
        File::open(folder.join(name))
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();

        text.lines()
            .map(|line| line.split(',').collect::<Vec<_>>())
            .filter(|fields| !fields[value].is_empty())
            .map(|fields| {
                (
                    (fields[from].to_owned(), fields[to].to_owned()),
                    fields[value].to_owned(),
                )
            })
            .collect::<HashMap<_, _>>()
    };

    Some([
        read("egress_cost_cross_cloud.csv", 0, 1, 2),
        read("latency.csv", 0, 3, 7),
    ])
}

#[test]
fn a_model_goes_from_mumbai_to_two_regions_through_europe() {
    let Some([prices, round_trips]) = skyplane() else {
        println!("skipped: data not present");
        return;
    };
    let key = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let price = |from: &str, to: &str| {
        let text = prices.get(&key(from, to)).ok_or_else(|| no_price(to))?;
        Ok(Money {
            amount: text.parse().unwrap(),
            currency: Currency::USD,
        })
    };

    let round_trip = |from: &str, to: &str| {
        let ms = round_trips
            .get(&key(from, to))
            .or_else(|| round_trips.get(&key(to, from)))?;
        Some(ms.parse::<f64>().unwrap().round() as u32)
    };

    let plan = fan_out(
        "aws:ap-south-1",
        &["aws:us-west-2", "aws:eu-west-1"],
        &price,
        &round_trip,
        FanOutLimits::default(),
    );

    for hop in &plan.hops {
        println!(
            "{} -> {}: {:?}, {:?} ms",
            hop.from,
            hop.to,
            hop.price,
            round_trip(&hop.from, &hop.to)
        );
    }

    println!("{:?} through Europe, {:?} direct", plan.cost, plan.direct);
    assert_eq!(plan.direct.of(Currency::USD).to_string(), "0.172");
    assert_eq!(plan.cost.of(Currency::USD).to_string(), "0.106");
    assert_eq!(plan.hops[1].from, "aws:eu-west-1");
}
