//! Recommendations from what a mesh holds, and what came of them.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::{config::rig, cost::questions::Wishes};
use regionmesh_cost::{
    Counters, ImportOptions, Importer, ModelCounters, NodeGroup, PricingClass, Recommendation, RecommendationKind,
    SourceCounters, StoredPart, Verdict,
};
use regionmesh_protocol::{clock::HybridTime, conflict::Catalogue, manifest::VersionSummary};
use time::macros::date;

/// 2026-09-10, noon UTC.
const START_MS: u64 = 1_789_041_600_000;
const DAY: u64 = 86_400_000;
/// Quarters of an hour of a day.
const QUARTERS: u64 = 96;
const REGIONS: [&str; 2] = ["us-west-2", "eu-west-1"];

/// A mesh of two regions whose agents served `busy`, and nothing else, for so many days.
fn sources(days: u64) -> Sources {
    let mut config = rig::config(&REGIONS.map(|name| (name, "192.0.2.1")), "");
    for (region, (cloud, instance)) in config.regions.iter_mut().zip([("aws", "m5.large"), ("gcp", "e2-standard-4")]) {
        region.cloud = cloud.into();
        region.nodes = vec![toml::from_str(&format!("instance = \"{instance}\"\ncount = 8")).unwrap()];
    }
    let today = regionmesh_cost::date_at(START_MS + days * DAY).unwrap();
    let cost = config.cost.clone();
    let mut sources = Sources::of_mesh(Arc::new(config), cost, Ledger::default(), Prices::default(), today);
    let mut live = LiveMeter::new(2 * DAY);
    for quarter in 0..=days * QUARTERS {
        for (region, sku) in REGIONS.into_iter().zip(["m5.large", "e2-standard-4"]) {
            let node = NodeGroup { sku: sku.into(), pricing: PricingClass::OnDemand, count: 8 };
            let running = RegionCapacity { nodes: vec![node], stored: Vec::new(), places: 16 };
            let did = ModelCounters { requests: quarter * 5_000, busy_ms: quarter * 5_000 * 50 };
            let counters = Counters { models: [("busy".to_owned(), did)].into(), ..Counters::default() };
            let counted = SourceCounters { source: "n", started_ms: START_MS, counters: &counters };
            live.observe(region, START_MS + quarter * (DAY / QUARTERS), running.clone(), &[counted], sources.pricing());
            sources.capacity.insert(region.into(), running);
        }
    }
    sources.live = Arc::new(live);
    for pair in [(0, 1), (1, 0)] {
        sources.round_trips_ms.insert((REGIONS[pair.0].into(), REGIONS[pair.1].into()), 40.0);
    }
    sources
}

fn held(model: &str, days_ago: u64, today_ms: u64) -> VersionSummary {
    VersionSummary {
        model: model.parse().unwrap(),
        version: "1".parse().unwrap(),
        content: regionmesh_protocol::manifest::Digest::of(model.as_bytes()),
        size: 100 << 30,
        published: HybridTime { wall_ms: today_ms - days_ago * DAY, counter: 0 },
        origin: REGIONS[0].parse().unwrap(),
    }
}

fn held_everywhere(versions: Vec<VersionSummary>) -> Holdings {
    let catalogue = Arc::new(Catalogue { versions, ..Catalogue::default() });
    REGIONS.map(|name| (name.parse().unwrap(), catalogue.clone())).into()
}

fn of_kind(found: &regionmesh_cost::Recommendations, kind: RecommendationKind) -> Vec<&Recommendation> {
    found.recommendations.iter().filter(|made| made.kind == kind).collect()
}

#[test]
fn models_that_nobody_asked_for_are_named_with_what_their_copies_cost() {
    let mut sources = sources(20);
    let today_ms = START_MS + 20 * DAY;
    let versions = vec![held("busy", 90, today_ms), held("forgotten", 90, today_ms), held("new", 3, today_ms)];
    sources.holdings = held_everywhere(versions);
    let found = recommendations(&Wishes::default(), &sources).unwrap();
    let idle = of_kind(&found, RecommendationKind::Idle);
    assert_eq!(idle.len(), 1, "{:?}", found.recommendations);
    // 100 GiB at 0.023 and 0.02 USD a month.
    assert_eq!(idle[0].saving.expected.to_string(), "4.3");
    assert_eq!(idle[0].command, "regionmesh models delete forgotten 1");
    assert!(of_kind(&found, RecommendationKind::Replication).is_empty());
}

#[test]
fn days_that_nobody_watched_make_no_model_idle() {
    let mut sources = sources(5);
    let versions = vec![held("forgotten", 90, START_MS + 5 * DAY)];
    sources.holdings = held_everywhere(versions);
    let found = recommendations(&Wishes::default(), &sources).unwrap();
    assert!(of_kind(&found, RecommendationKind::Idle).is_empty());
}

/// A bill of us-west-2 with so much each day before `change`, and from then on.
fn bill(first: Date, days: i64, change: Date, amounts: (&str, &str)) -> Ledger {
    let mut text = String::new();
    for day in (0..days).map(|day| first + Duration::days(day)) {
        let amount = if day < change { amounts.0 } else { amounts.1 };
        let month = day.replace_day(1).unwrap();
        text += &format!("{month},{day}T05:00:00Z,AWS,1,us-west-2,EC2,Compute,Usage,USD,{amount},{amount},{amount}\n");
    }
    imported(&text, 1)
}

fn imported(rows: &str, imported_ms: u64) -> Ledger {
    let head = "BillingPeriodStart,ChargePeriodStart,ProviderName,BillingAccountId,RegionId,ServiceName,ServiceCategory,\
                ChargeCategory,BillingCurrency,EffectiveCost,BilledCost,ListCost\n";
    let mut importer = Importer::new(ImportOptions::default());
    importer.read("bill.csv", format!("{head}{rows}").as_bytes());
    let mut ledger = Ledger::default();
    for part in importer.finish().parts {
        let part = StoredPart::new(part.source, part.period, imported_ms, "test".into(), part.cells).unwrap();
        ledger.insert(Arc::new(part));
    }
    ledger
}

/// Rows of 120 days of usage that end on a day of August, about 300 each.
fn usage_until(provider: &str, last: u8) -> String {
    let last = date!(2026 - 08 - 01).replace_day(last).unwrap();
    let row = |age: i64| {
        let day = last - Duration::days(age);
        let (month, amount) = (day.replace_day(1).unwrap(), 296 + age * 5 % 9);
        format!("{month},{day}T05:00:00Z,{provider},1,east,VM,Compute,Usage,USD,{amount},{amount},{amount}\n")
    };
    (0..120).map(row).collect()
}

#[test]
fn a_late_bill_is_no_drop_and_makes_no_forecast_low() {
    let month_ends = |rows: &str, by: &[Group]| {
        let sources = Sources::of_files(imported(rows, 1), CostConfig::default(), date!(2026 - 09 - 10));
        assert_eq!(billed(&sources.ledger, sources.today), []);
        let (start, end) = (date!(2026 - 01 - 01), sources.today);
        let span = Span { start, end, by: by.to_vec(), metric: Default::default(), filters: Vec::new() };
        let answer = answer(&Question::Forecast(span, 10), &sources).unwrap();
        assert!(answer.render(Format::Html).contains("The days to come (USD)"));
        let figures = figures(&sources);
        let mesh = figures.month_ends.iter().find(|(name, _)| name.is_empty()).unwrap();
        let total = |found: &Value| found["month_end"]["total"]["expected"].as_str().unwrap().parse::<f64>().unwrap();
        let found: Vec<f64> = answer.json["forecasts"].as_array().unwrap().iter().map(total).collect();
        assert!(!by.is_empty() || (mesh.1.total.expected.to_f64() - found[0]).abs() < 0.01);
        found
    };
    let near = |found: &[f64], wanted: &[f64]| {
        let is_near = |(found, wanted): (&f64, &f64)| (found / wanted - 1.0).abs() < 0.02;
        assert!(found.len() == wanted.len() && found.iter().zip(wanted).all(is_near), "{found:?}");
    };
    let aws = usage_until("AWS", 31);
    let both = format!("{aws}{}", usage_until("Microsoft", 25));
    near(&month_ends(&both, &[Group::Provider]), &[9_300.0, 9_300.0]);
    near(&month_ends(&both, &[]), &[18_600.0]);
    let dated_ahead = "2026-09-01,2026-09-10T05:00:00Z,AWS,1,east,VM,Compute,Purchase,USD,0,0,0\n";
    near(&month_ends(&format!("{aws}{dated_ahead}"), &[]), &[9_300.0]);
}

#[test]
fn days_that_a_bill_still_adds_to_are_not_compared_with_live_cost() {
    let mut sources = sources(5);
    let costs = sources.live.whole_days(sources.pricing());
    let last = costs.keys().map(|(_, day)| *day).max().unwrap();
    let row = |((region, day), cost): (&(String, Date), &regionmesh_cost::Totals)| {
        let cost = cost.of(Currency::USD);
        // Of its last day a bill has a fifth.
        let billed = if *day == last { cost.share(1, 5).unwrap() } else { cost };
        (region == REGIONS[0]).then(|| {
            format!("2026-09-01,{day}T05:00:00Z,AWS,1,{region},EC2,Compute,Usage,USD,{billed},{billed},{billed}\n")
        })
    };
    let rows: String = costs.iter().filter_map(row).collect();
    for (days_before, compared) in [(0, 3), (1, 2)] {
        sources.ledger = imported(&rows, regionmesh_cost::end_of_day_ms(last) - days_before * DAY);
        let found = reconciliation(&sources);
        assert_eq!((found.len(), found[0].days, found[0].ratio), (1, compared, Some(1.0)), "{found:?}");
    }
    sources.ledger = imported(&rows, START_MS);
    assert_eq!(reconciliation(&sources), [], "no day is complete yet");
}

#[test]
fn a_prediction_is_compared_with_the_bill_once_that_reaches_its_day() {
    // It is watched for long enough that there is load to recommend for at the end, too.
    let mut sources = sources(60);
    sources.today = regionmesh_cost::date_at(START_MS + 20 * DAY).unwrap();
    let made_on = sources.today;
    let found = recommendations(&Wishes::default(), &sources).unwrap();
    let advice = Advice::default().with(&found, made_on).unwrap();
    assert_eq!(advice.with(&found, made_on + Duration::days(1)), None, "it counts from the first time");
    assert_eq!(Advice::decode(&advice.encode().unwrap()).unwrap(), advice);
    let about = |made: &&Recommendation| matches!(&made.proposal, regionmesh_cost::Proposal::Fleet { nodes, .. } if nodes.iter().any(|change| change.region.as_str() == REGIONS[0]));
    let made = found.recommendations.iter().find(about).unwrap();
    let saved = made.saving.expected.to_f64() * 24.0 / 730.0;
    sources.advice = Arc::new(advice);

    let first = made_on - Duration::days(30);
    let until =
        |last: Date, after: f64| bill(first, (last - first).whole_days() + 1, made_on, ("100", &format!("{after:.2}")));
    sources.today = made.verify_after + Duration::days(10);
    sources.ledger = until(made.verify_after + Duration::days(1), 100.0 - saved);
    assert!(verifications::verifications(&sources).is_empty(), "the bill's last two days may still grow");

    let verdict = |sources: &Sources| {
        let verified = verifications::verifications(sources);
        let one = verified.iter().find(|verified| verified.id == made.id).unwrap();
        (one.outcome.verdict, one.outcome.why.clone())
    };
    sources.ledger = until(made.verify_after + Duration::days(2), 100.0 - saved);
    assert_eq!(verdict(&sources).0, Verdict::Confirmed, "{:?}", verdict(&sources));
    sources.ledger = until(made.verify_after + Duration::days(2), 100.0);
    assert_eq!(verdict(&sources).0, Verdict::NotSeen, "{:?}", verdict(&sources));
    let answer = answer(&Question::Recommendations(Wishes::default()), &sources).unwrap();
    assert!(answer.render(Format::Table).contains("What came of earlier ones"));
    assert_eq!(answer.json["verifications"][0]["verdict"], "not-seen");
}
