#![allow(clippy::unwrap_used, clippy::panic)]

mod laws;

use super::{day::HOUR_MS, *};
use crate::{
    money::{Amount, Currency, ONE},
    prices::{PriceDefaults, PriceTable, read_prices},
    regions::MeshRegion,
};
use proptest::prelude::*;
use time::macros::date;

const GAP_MS: u64 = 5 * 60_000;
/// 31 October 2026, 22:00 UTC.
const EVENING_MS: u64 = 1_793_484_000_000;
const EVENING: Date = date!(2026 - 10 - 31);

fn prices(csv: &str) -> Prices {
    let file = read_prices("p.csv", csv.as_bytes(), &PriceDefaults::default()).unwrap();
    assert_eq!(file.rejected, []);
    let mut table = PriceTable::default();
    table.apply(file.prices, false).unwrap();
    Prices::new(table)
}

/// Prices of which that of the node rises on 1 November.
fn rising() -> Prices {
    prices(
        "kind,cloud,region,sku,amount,valid_from,from,to\n\
         node,aws,us-west-2,n,0.36,2026-10-01,,\n\
         node,aws,us-west-2,n,0.72,2026-11-01,,\n\
         storage,aws,us-west-2,standard,0.0073,2026-10-01,,\n\
         requests,aws,us-west-2,inference,0.001,2026-10-01,,\n\
         egress,,,,0.1,2026-10-01,aws:us-west-2,internet\n",
    )
}

fn regions() -> RegionMap {
    let region = |name: &str| MeshRegion {
        name: name.into(),
        cloud: "aws".into(),
        billing_region: None,
    };

    RegionMap::new([region("us-west-2"), region("us-east-1"), region("cellar")])
}

fn nodes(count: u32) -> RegionCapacity {
    let nodes = vec![NodeGroup {
        sku: "n".into(),
        pricing: PricingClass::OnDemand,
        count,
    }];

    RegionCapacity {
        nodes,
        stored: Vec::new(),
        places: 2 * count,
    }
}

fn counters(requests: u64, busy_ms: u64, bytes: u64) -> Counters {
    let models = BTreeMap::from([("m".to_owned(), ModelCounters { requests, busy_ms })]);
    Counters {
        models,
        egress: vec![EgressCounter {
            to: None,
            cause: Cause::AnswersAway,
            bytes,
        }],
    }
}

/// A meter of one region without counters, and its prices.
struct Setup {
    meter: LiveMeter,
    prices: Prices,
    regions: RegionMap,
}

impl Setup {
    fn new() -> Self {
        Self {
            meter: LiveMeter::new(GAP_MS),
            prices: rising(),
            regions: regions(),
        }
    }

    fn observe(&mut self, now_ms: u64, count: u32, sources: &[SourceCounters<'_>]) {
        let pricing = Pricing {
            prices: &self.prices,
            regions: &self.regions,
        };

        self.meter
            .observe("us-west-2", now_ms, nodes(count), sources, pricing);
    }

    fn window(&self, start: Date, end: Date) -> LiveWindow {
        let pricing = Pricing {
            prices: &self.prices,
            regions: &self.regions,
        };
        self.meter.window("us-west-2", (start, end), pricing)
    }

    fn usd(&self, day: Date) -> String {
        self.window(day, day).capacity.of(Currency::USD).to_string()
    }
}

#[test]
fn each_day_is_charged_at_its_price() {
    let mut setup = Setup::new();
    // 22:00 to 02:00, each minute.
    for minute in 0..=240 {
        setup.observe(EVENING_MS + minute * 60_000, 10, &[]);
    }
    assert_eq!(setup.usd(EVENING), "7.2");
    assert_eq!(setup.usd(date!(2026 - 11 - 01)), "14.4");

    let pricing = Pricing {
        prices: &setup.prices,
        regions: &setup.regions,
    };
    let region = setup
        .meter
        .regions(EVENING_MS + 240 * 60_000 + 1_500, pricing)
        .remove(0);

    assert_eq!(region.hourly.of(Currency::USD).to_string(), "7.2");
    assert_eq!(region.today.total.of(Currency::USD).to_string(), "14.4");
    assert_eq!(region.month, region.today);
    assert_eq!((region.age_ms, region.missing), (1_500, Vec::new()));
    assert_eq!(region.today.idle_ratio(), Some(1.0));
}

#[test]
fn amounts_that_do_not_divide_by_the_hour_do_not_drift() {
    let prices =
        prices("kind,cloud,region,sku,amount,valid_from\nnode,aws,us-west-2,n,0.1,2026-10-01\n");
    let mut setup = Setup {
        prices,
        ..Setup::new()
    };

    for step in 0..=7_200_000 / 700 {
        setup.observe(EVENING_MS + step * 700 + step % 7, 1, &[]);
    }
    setup.observe(EVENING_MS + 7_200_000, 1, &[]);
    assert_eq!(setup.usd(EVENING), "0.2");
}

#[test]
fn a_gap_is_unknown_and_not_charged() {
    let mut setup = Setup::new();
    setup.observe(EVENING_MS, 10, &[]);
    setup.observe(EVENING_MS + GAP_MS, 10, &[]);

    let known = setup.usd(EVENING);
    setup.observe(EVENING_MS + 3 * HOUR_MS, 10, &[]);
    assert_eq!(setup.usd(EVENING), known);

    let window = setup.window(EVENING, EVENING);
    assert_eq!(
        (window.known_ms, window.unknown_ms),
        (GAP_MS, 2 * HOUR_MS - GAP_MS)
    );

    assert_eq!(
        setup
            .window(date!(2026 - 11 - 01), date!(2026 - 11 - 01))
            .unknown_ms,
        HOUR_MS
    );
}

#[test]
fn a_clock_that_steps_back_is_charged_once() {
    let mut setup = Setup::new();
    setup.observe(EVENING_MS, 10, &[]);
    setup.observe(EVENING_MS + 60_000, 10, &[]);

    let before = setup.usd(EVENING);
    setup.observe(EVENING_MS + 30_000, 10, &[]);
    setup.observe(EVENING_MS + 60_000, 10, &[]);
    assert_eq!(setup.usd(EVENING), before);

    // Far back: counted from there on.
    setup.observe(EVENING_MS - HOUR_MS, 10, &[]);
    setup.observe(EVENING_MS - HOUR_MS + 60_000, 10, &[]);
    assert_eq!(setup.usd(EVENING), "0.12");

    // A year ahead and back again: nothing is lost.
    setup.observe(EVENING_MS + 365 * DAY_MS, 10, &[]);
    setup.observe(EVENING_MS, 10, &[]);
    assert_eq!(setup.usd(EVENING), "0.12");
}

#[test]
fn counters_restart_with_their_agent_and_count_only_once_seen() {
    let mut setup = Setup::new();
    let mut at = |second: u64, started_ms: u64, requests: u64| {
        let counters = counters(requests, requests, requests);
        let source = SourceCounters {
            source: "a",
            started_ms,
            counters: &counters,
        };

        setup.observe(EVENING_MS + second * 1_000, 1, &[source]);
        let window = setup.window(EVENING, EVENING);
        (
            window.models.get("m").map_or(0, |model| model.requests),
            setup
                .meter
                .egress_usage((EVENING, EVENING))
                .iter()
                .map(|sent| sent.bytes)
                .sum::<u64>(),
        )
    };

    assert_eq!(at(0, 1, 100), (0, 0));
    assert_eq!(at(5, 1, 130), (30, 30));
    assert_eq!(at(10, EVENING_MS + 6_000, 7), (37, 37));
    assert_eq!(at(15, EVENING_MS + 6_000, 7), (37, 37));

    // A counter that falls without a restart adds nothing.
    assert_eq!(at(20, EVENING_MS + 6_000, 3), (37, 37));
    assert_eq!(at(25, EVENING_MS + 6_000, 4), (38, 38));
}

#[test]
fn the_busiest_quarter_of_an_hour_is_known_once_it_is_over() {
    let mut setup = Setup::new();
    // 60 requests a minute for an hour, but for a quarter of an hour at three times as many.
    let mut requests = 0;

    for minute in 0..=60 {
        requests += if (15..30).contains(&minute) { 180 } else { 60 };
        let counters = counters(requests, requests, 0);
        let counted = SourceCounters {
            source: "a",
            started_ms: EVENING_MS,
            counters: &counters,
        };

        setup.observe(EVENING_MS + minute * 60_000, 1, &[counted]);
        let peak = setup
            .window(EVENING, EVENING)
            .models
            .get("m")
            .map_or(0, |did| did.peak_quarter);

        match minute {
            0..15 => assert_eq!(peak, 0, "minute {minute}"),
            30.. => assert_eq!(peak, 15 * 180, "minute {minute}"),
            _ => {}
        }
    }

    assert_eq!(
        setup.window(EVENING, EVENING).models["m"].peak_rps(),
        Some(3.0)
    );
}

#[test]
fn a_thousand_inferences_cost_the_share_of_their_busy_time() {
    let mut setup = Setup::new();
    let work = counters(50, 30_000, 5 << 30);
    setup.observe(EVENING_MS, 10, &[]);

    let source = SourceCounters {
        source: "a",
        started_ms: EVENING_MS,
        counters: &work,
    };

    setup.observe(EVENING_MS + 60_000, 10, &[source]);
    let window = setup.window(EVENING, EVENING);

    // 10 nodes at 0.36 for a minute are 0.06; 20 places × 60 s, of which 30 s were busy.
    assert_eq!(
        window.models["m"].cost.of(Currency::USD).to_string(),
        "0.0015"
    );

    assert_eq!(
        window.models["m"]
            .per_thousand()
            .of(Currency::USD)
            .to_string(),
        "0.03"
    );

    assert_eq!(window.idle.of(Currency::USD).to_string(), "0.0585");
    assert_eq!(window.idle_ratio(), Some(0.975));
    assert_eq!(window.requests.of(Currency::USD).to_string(), "0.00005");
    assert_eq!(window.egress.of(Currency::USD).to_string(), "0.5");
    assert_eq!(window.total.of(Currency::USD).to_string(), "0.56005");
    assert_eq!(LiveModel::default().per_thousand(), Totals::default());
}

#[test]
fn nodes_without_places_for_inferences_are_idle() {
    let prices = rising();
    let regions = regions();
    let pricing = Pricing {
        prices: &prices,
        regions: &regions,
    };
    let mut meter = LiveMeter::new(GAP_MS);

    for now_ms in [EVENING_MS, EVENING_MS + 60_000] {
        meter.observe(
            "us-west-2",
            now_ms,
            RegionCapacity {
                places: 0,
                ..nodes(10)
            },
            &[],
            pricing,
        );
    }

    let window = meter.window("us-west-2", (EVENING, EVENING), pricing);
    assert_eq!(
        (
            window.idle.of(Currency::USD).to_string().as_str(),
            window.idle_ratio()
        ),
        ("0.06", None)
    );
}

#[test]
fn unpriced_resources_are_listed_and_the_rest_is_charged() {
    let prices = rising();
    let regions = regions();
    let pricing = Pricing {
        prices: &prices,
        regions: &regions,
    };
    let mut capacity = nodes(1);

    capacity.nodes.push(NodeGroup {
        sku: "unheard-of".into(),
        pricing: PricingClass::Spot,
        count: 1,
    });

    capacity.stored.push(StoredBytes {
        class: "standard".into(),
        bytes: 100 << 30,
    });

    let rate = hourly_rate("us-west-2", &capacity, EVENING, pricing);
    assert_eq!(rate.totals.of(Currency::USD).to_string(), "0.361");
    assert_eq!(rate.missing.len(), 1);
    assert!(
        rate.missing[0]
            .to_string()
            .starts_with("no price of node unheard-of spot in aws:us-west-2")
    );

    let unknown = hourly_rate("cellar", &capacity, EVENING, pricing);
    assert_eq!(
        unknown.missing,
        [NoPrice::Region {
            region: "cellar".into()
        }]
    );

    let mut meter = LiveMeter::new(GAP_MS);
    meter.observe("us-west-2", EVENING_MS, capacity.clone(), &[], pricing);
    meter.observe("us-west-2", EVENING_MS + 1_000, capacity, &[], pricing);
    assert_eq!(
        meter
            .window("us-west-2", (EVENING, EVENING), pricing)
            .unpriced_ms,
        1_000
    );
}

#[test]
fn entries_beyond_the_limit_are_summed_as_other() {
    let mut setup = Setup::new();
    let many: BTreeMap<_, _> = (0..2_000)
        .map(|place| {
            (
                format!("m{place}"),
                ModelCounters {
                    requests: 1,
                    busy_ms: 1,
                },
            )
        })
        .collect();

    let counters = Counters {
        models: many,
        egress: Vec::new(),
    };

    setup.observe(EVENING_MS, 1, &[]);
    let source = SourceCounters {
        source: "a",
        started_ms: EVENING_MS,
        counters: &counters,
    };

    setup.observe(EVENING_MS + 1, 1, &[source]);
    let models = setup.window(EVENING, EVENING).models;
    assert_eq!(
        (models.len(), models[OTHER].requests),
        (ENTRIES_MAX + 1, 2_000 - ENTRIES_MAX as u64)
    );
}

#[test]
fn live_and_billed_costs_are_compared_over_common_days() {
    let usd = |units: i128| Totals(BTreeMap::from([(Currency::USD, Amount(units * ONE))]));
    let day = |region: &str, day: u8| (region.to_owned(), EVENING.replace_day(day).unwrap());
    let live = DailyTotals::from([
        (day("a", 1), usd(9)),
        (day("a", 2), usd(12)),
        (day("a", 3), usd(50)),
        (day("a", 4), usd(0)),
        (day("b", 1), usd(7)),
    ]);

    let billed = DailyTotals::from([
        (day("a", 1), usd(10)),
        (day("a", 2), usd(10)),
        (day("a", 4), usd(40)),
        (day("a", 5), usd(40)),
        (day("b", 1), usd(0)),
    ]);
    let compared = reconcile(&live, &billed);

    assert_eq!(compared.len(), 1);
    assert_eq!((compared[0].days, compared[0].ratio), (2, Some(1.05)));
}

#[test]
fn only_whole_and_priced_days_are_compared_with_bills() {
    let mut setup = Setup::new();
    let midnight = EVENING_MS + 2 * HOUR_MS;
    let mut now_ms = EVENING_MS;

    while now_ms <= midnight + DAY_MS + HOUR_MS {
        setup.observe(now_ms, 1, &[]);
        now_ms += GAP_MS;
    }

    let pricing = Pricing {
        prices: &setup.prices,
        regions: &setup.regions,
    };
    let days = setup.meter.whole_days(pricing);

    assert_eq!(days.len(), 1);
    assert_eq!(
        days[&("us-west-2".to_owned(), date!(2026 - 11 - 01))]
            .of(Currency::USD)
            .to_string(),
        "17.28"
    );
}
