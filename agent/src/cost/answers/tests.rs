//! Recommendations from what a mesh holds, and what came of them.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::{config::fixture, cost::questions::Wishes};
use regionmesh_core::gossip::{AgentView, BoardView, SeenStatus};
use regionmesh_cost::{
    Counters, ImportOptions, Importer, ModelCounters, NodeChange, NodeCounts, NodeGroup,
    PricingClass, Proposal, Recommendation, RecommendationKind, Recommendations, SourceCounters,
    StoredPart, Verdict,
};
use regionmesh_protocol::{
    clock::HybridTime,
    models::{catalogue::Catalogue, manifest::VersionSummary},
    status::{StatusEntry, money::CostStatus},
};
use time::macros::date;

/// 2026-09-10, noon UTC.
const START_MS: u64 = 1_789_041_600_000;
const DAY: u64 = 86_400_000;
/// Quarters of an hour of a day.
const QUARTERS: u64 = 96;
const REGIONS: [&str; 2] = ["us-west-2", "eu-west-1"];

/// A mesh of two regions whose agents served `busy`, and nothing else, for so many days.
fn sources(days: u64) -> Sources {
    scaling(days, |_| 8)
}

/// The same, where the first region has so many nodes in each quarter of an hour.
fn scaling(days: u64, count: impl Fn(u64) -> u32) -> Sources {
    let mut config = fixture::config(&REGIONS.map(|name| (name, "192.0.2.1")), "");
    for (region, (cloud, instance)) in config
        .regions
        .iter_mut()
        .zip([("aws", "m5.large"), ("gcp", "e2-standard-4")])
    {
        region.cloud = cloud.into();
        region.nodes =
            vec![toml::from_str(&format!("instance = \"{instance}\"\ncount = 8")).unwrap()];
    }

    let today = regionmesh_cost::date_at(START_MS + days * DAY).unwrap();
    let cost = config.cost.clone();
    let mut sources = Sources::of_mesh(
        Arc::new(config),
        cost,
        Ledger::default(),
        Prices::default(),
        today,
    );

    let mut live = LiveMeter::new(2 * DAY);
    for quarter in 0..=days * QUARTERS {
        for (region, sku) in REGIONS.into_iter().zip(["m5.large", "e2-standard-4"]) {
            let count = if region == REGIONS[0] {
                count(quarter)
            } else {
                8
            };
            let node = NodeGroup {
                sku: sku.into(),
                pricing: PricingClass::OnDemand,
                count,
            };

            let running = RegionCapacity {
                nodes: vec![node],
                stored: Vec::new(),
                places: 2 * count,
            };
            let did = ModelCounters {
                requests: quarter * 5_000,
                busy_ms: quarter * 5_000 * 50,
            };

            let counters = Counters {
                models: [("busy".to_owned(), did)].into(),
                ..Counters::default()
            };
            let counted = SourceCounters {
                source: "n",
                started_ms: START_MS,
                counters: &counters,
            };

            live.observe(
                region,
                START_MS + quarter * (DAY / QUARTERS),
                running.clone(),
                &[counted],
                sources.pricing(),
            );

            sources.capacity.insert(region.into(), running);
        }
    }

    sources.live = Arc::new(live);
    for pair in [(0, 1), (1, 0)] {
        sources
            .round_trips_ms
            .insert((REGIONS[pair.0].into(), REGIONS[pair.1].into()), 40.0);
    }

    sources
}

/// The same with other nodes in the first region: the settings, and how many there are.
fn with_nodes(mut sources: Sources, nodes: &[(&str, u32)]) -> Sources {
    let mut config = Config::clone(sources.config.as_ref().unwrap());
    config.regions[0].nodes = nodes
        .iter()
        .map(|(text, _)| toml::from_str(text).unwrap())
        .collect();

    let running = config.regions[0]
        .nodes
        .iter()
        .zip(nodes)
        .map(|(configured, (_, count))| NodeGroup {
            sku: configured.instance.clone(),
            pricing: configured.pricing,
            count: *count,
        });

    sources.capacity.get_mut(REGIONS[0]).unwrap().nodes = running.collect();
    sources.config = Some(Arc::new(config));
    sources
}

/// What the nodes of the regions cost in a month: so many at 0.096 USD and at 0.14743092 USD an
/// hour.
fn monthly(counts: [u32; 2]) -> Amount {
    let price = |text: &str, count: u32| {
        text.parse::<Amount>()
            .unwrap()
            .share(u64::from(count) * 730, 1)
            .unwrap()
    };

    price("0.096", counts[0]) + price("0.14743092", counts[1])
}

fn held(model: &str, days_ago: u64, today_ms: u64) -> VersionSummary {
    VersionSummary {
        model: model.parse().unwrap(),
        version: "1".parse().unwrap(),
        content: regionmesh_protocol::models::digest::Digest::of(model.as_bytes()),
        size: 100 << 30,
        published: HybridTime {
            wall_ms: today_ms - days_ago * DAY,
            counter: 0,
        },
        origin: REGIONS[0].parse().unwrap(),
    }
}

fn held_everywhere(versions: Vec<VersionSummary>) -> Holdings {
    let catalogue = Arc::new(Catalogue {
        versions,
        ..Catalogue::default()
    });

    REGIONS
        .map(|name| (name.parse().unwrap(), catalogue.clone()))
        .into()
}

fn of_kind(
    found: &regionmesh_cost::Recommendations,
    kind: RecommendationKind,
) -> Vec<&Recommendation> {
    found
        .recommendations
        .iter()
        .filter(|made| made.kind == kind)
        .collect()
}

#[test]
fn models_that_nobody_asked_for_are_named_with_what_their_copies_cost() {
    let mut sources = sources(20);
    let today_ms = START_MS + 20 * DAY;
    let versions = vec![
        held("busy", 90, today_ms),
        held("forgotten", 90, today_ms),
        held("new", 3, today_ms),
    ];

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
        text += &format!(
            "{month},{day}T05:00:00Z,AWS,1,us-west-2,EC2,Compute,Usage,USD,{amount},{amount},{amount}\n"
        );
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
        let part = StoredPart::new(
            part.source,
            part.period,
            imported_ms,
            "test".into(),
            part.cells,
        )
        .unwrap();

        ledger.insert(Arc::new(part));
    }

    ledger
}

/// Rows of 120 days of usage that end on a day of August, about 300 each.
fn usage_until(provider: &str, last: u8) -> String {
    let last = date!(2026 - 08 - 01).replace_day(last).unwrap();
    let row = |age: i64| {
        let day = last - Duration::days(age);
        let month = day.replace_day(1).unwrap();
        let amount = 296 + age * 5 % 9;

        format!(
            "{month},{day}T05:00:00Z,{provider},1,east,VM,Compute,Usage,USD,{amount},{amount},{amount}\n"
        )
    };

    (0..120).map(row).collect()
}

#[test]
fn a_late_bill_is_no_drop_and_makes_no_forecast_low() {
    let month_ends = |rows: &str, by: &[Group]| {
        let sources = Sources::of_files(
            imported(rows, 1),
            CostConfig::default(),
            date!(2026 - 09 - 10),
        );

        assert_eq!(billed(&sources.ledger, sources.today), []);
        let start = date!(2026 - 01 - 01);
        let end = sources.today;
        let span = Span {
            start,
            end,
            by: by.to_vec(),
            metric: Default::default(),
            filters: Vec::new(),
        };

        let answer = answer(&Question::Forecast(span, 10), &sources).unwrap();
        assert!(
            answer
                .render(Format::Html)
                .contains("The days to come (USD)")
        );

        let figures = figures(&sources);
        let mesh = figures
            .month_ends
            .iter()
            .find(|(name, _)| name.is_empty())
            .unwrap();
        let total = |found: &Value| {
            found["month_end"]["total"]["expected"]
                .as_str()
                .unwrap()
                .parse::<f64>()
                .unwrap()
        };

        let found: Vec<f64> = answer.json["forecasts"]
            .as_array()
            .unwrap()
            .iter()
            .map(total)
            .collect();

        assert!(!by.is_empty() || (mesh.1.total.expected.to_f64() - found[0]).abs() < 0.01);
        found
    };

    let near = |found: &[f64], wanted: &[f64]| {
        let is_near = |(found, wanted): (&f64, &f64)| (found / wanted - 1.0).abs() < 0.02;
        assert!(
            found.len() == wanted.len() && found.iter().zip(wanted).all(is_near),
            "{found:?}"
        );
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
        let billed = if *day == last {
            cost.share(1, 5).unwrap()
        } else {
            cost
        };

        (region == REGIONS[0]).then(|| {
            format!("2026-09-01,{day}T05:00:00Z,AWS,1,{region},EC2,Compute,Usage,USD,{billed},{billed},{billed}\n")
        })
    };

    let rows: String = costs.iter().filter_map(row).collect();
    for (days_before, compared) in [(0, 3), (1, 2)] {
        sources.ledger = imported(
            &rows,
            regionmesh_cost::end_of_day_ms(last) - days_before * DAY,
        );

        let found = reconciliation(&sources);
        assert_eq!(
            (found.len(), found[0].days, found[0].ratio),
            (1, compared, Some(1.0)),
            "{found:?}"
        );
    }

    sources.ledger = imported(&rows, START_MS);
    assert_eq!(reconciliation(&sources), [], "no day is complete yet");
}

#[test]
fn predictions_for_the_same_regions_are_compared_with_the_bill_as_one() {
    // It is watched for long enough that there is load to recommend for at the end, too.
    let mut sources = sources(60);
    sources.today = regionmesh_cost::date_at(START_MS + 20 * DAY).unwrap();

    let made_on = sources.today;
    let found = recommendations(&Wishes::default(), &sources).unwrap();
    let advice = Advice::default().with(&found, made_on).unwrap();

    assert_eq!(Advice::decode(&advice.encode().unwrap()).unwrap(), advice);
    sources.advice = Arc::new(advice);

    let daily = |made: &Recommendation| made.saving.expected.to_f64() * 24.0 / 730.0;
    let all: f64 = found.recommendations.iter().map(daily).sum();
    let least = found.recommendations.iter().map(daily).fold(all, f64::min);

    assert!(
        found.recommendations.len() > 1 && least < all / 4.0,
        "{:?}",
        found.recommendations
    );

    let verify_after = found
        .recommendations
        .iter()
        .map(|made| made.verify_after)
        .max()
        .unwrap();

    let first = made_on - Duration::days(30);
    let until = |last: Date, saved: f64| {
        bill(
            first,
            (last - first).whole_days() + 1,
            made_on,
            ("100", &format!("{:.2}", 100.0 - saved)),
        )
    };

    sources.today = verify_after + Duration::days(10);
    sources.ledger = until(verify_after + Duration::days(1), all);
    assert!(
        verifications::verifications(&sources).is_empty(),
        "the bill's last two days may still grow"
    );

    let verdicts = |sources: &Sources, expected: Verdict| {
        let verified = verifications::verifications(sources);
        assert_eq!(verified.len(), found.recommendations.len());
        for one in verified {
            assert_eq!(one.outcome.verdict, expected, "{}", one.outcome.why);
            assert_eq!(one.together_with.len() + 1, found.recommendations.len());
            assert!(
                one.outcome.why.contains("judged together with"),
                "{}",
                one.outcome.why
            );
        }
    };

    sources.ledger = until(verify_after + Duration::days(2), all);
    verdicts(&sources, Verdict::Confirmed);
    sources.ledger = until(verify_after + Duration::days(2), all / 2.0);
    verdicts(&sources, Verdict::Partly);
    sources.ledger = until(verify_after + Duration::days(2), least / 2.0);
    verdicts(&sources, Verdict::NotSeen);

    let answer = answer(&Question::Recommendations(Wishes::default()), &sources).unwrap();
    assert!(
        answer
            .render(Format::Table)
            .contains("What came of earlier ones")
    );

    assert_eq!(answer.json["verifications"][0]["verdict"], "not-seen");
}

#[test]
fn a_prediction_for_another_region_or_time_is_judged_apart() {
    let mut sources = sources(60);
    let found = recommendations(&Wishes::default(), &sources).unwrap();
    let day = |days: i64| regionmesh_cost::date_at(START_MS).unwrap() + Duration::days(days);
    let made = |id: &str, region: usize, on: Date| {
        let change = NodeChange {
            region: REGIONS[region].parse().unwrap(),
            from: NodeCounts::default(),
            to: NodeCounts::default(),
        };
        let proposal = Proposal::Fleet {
            nodes: vec![change],
            weights: Vec::new(),
        };
        let verify_after = on + Duration::days(17);

        Recommendation {
            id: id.to_owned(),
            proposal,
            verify_after,
            ..found.recommendations[0].clone()
        }
    };

    let add = |advice: Advice, ids: &[(&str, usize)], on: Date| {
        let recommendations = ids
            .iter()
            .map(|(id, region)| made(id, *region, on))
            .collect();

        advice.with(
            &Recommendations {
                recommendations,
                ..found.clone()
            },
            on,
        )
    };

    let advice = add(
        Advice::default(),
        &[("scale", 0), ("spot", 0), ("other", 1)],
        day(20),
    )
    .unwrap();

    assert_eq!(
        add(advice.clone(), &[("scale", 0)], day(36)),
        None,
        "it counts from the first time"
    );

    let advice = add(advice, &[("scale", 0)], day(37)).unwrap();
    sources.advice = Arc::new(advice);
    sources.today = day(80);
    sources.ledger = bill(day(0), 70, day(20), ("100", "90"));

    let verified = verifications::verifications(&sources);
    let together: Vec<_> = verified
        .iter()
        .map(|one| {
            (
                one.id.as_str(),
                one.together_with.join(" "),
                one.made_on.clone(),
            )
        })
        .collect();

    let expected = [
        ("scale", "spot", 20),
        ("spot", "scale", 20),
        ("other", "", 20),
        ("scale", "", 37),
    ];

    assert_eq!(
        together,
        expected.map(|(id, with, on)| (id, with.to_owned(), day(on).to_string()))
    );
}

#[test]
fn a_region_whose_nodes_cannot_be_priced_is_left_out_and_says_why() {
    let wishes = Wishes {
        survive: Some(0),
        ..Wishes::default()
    };

    for (nodes, why) in [
        (
            vec![
                ("instance = \"m5.large\"\ncount = 10", 10),
                ("instance = \"m5.xlarge\"\ncount = 2", 2),
            ],
            "only nodes of one type can be compared, and it has m5.large, m5.xlarge",
        ),
        (
            vec![
                ("instance = \"g5.xlarge\"\ncount = 2", 2),
                ("instance = \"g5.xlarge\"\npricing = \"spot\"", 4),
            ],
            "no price of ",
        ),
        (
            vec![("instance = \"unheard-of\"\ncount = 2", 2)],
            "no price of ",
        ),
        (vec![], "no nodes are configured"),
    ] {
        let sources = with_nodes(sources(5), &nodes);
        let found = recommendations(&wishes, &sources).unwrap();
        assert_eq!(found.baseline.monthly_cost, monthly([0, 8]), "{why}");

        let expected = format!("us-west-2 and its load are left out: {why}");
        assert!(
            found.notes.iter().any(|note| note.starts_with(&expected)),
            "{:?}",
            found.notes
        );
    }

    let none = Sources {
        capacity: BTreeMap::new(),
        ..sources(5)
    };
    let error = recommendations(&wishes, &none).unwrap_err().to_string();

    assert!(
        error.contains("eu-west-1 and its load are left out"),
        "{error}"
    );
}

#[test]
fn nodes_that_follow_the_load_count_with_their_mean_and_need_not_be_told_to() {
    let uncounted = "instance = \"m5.large\"";
    for (now, places) in [(8, 16), (2, 4), (0, 0)] {
        let mut sources = with_nodes(
            scaling(20, |quarter| if quarter % 2 == 0 { 8 } else { 2 }),
            &[(uncounted, now)],
        );

        sources.capacity.get_mut(REGIONS[0]).unwrap().places = places;
        let found = recommendations(&Wishes::default(), &sources).unwrap();
        assert_eq!(
            found.baseline.monthly_cost,
            monthly([5, 8]),
            "{now} nodes now"
        );

        for made in &found.recommendations {
            let Proposal::Autoscale { nodes } = &made.proposal else {
                continue;
            };
            assert!(
                nodes
                    .iter()
                    .all(|change| change.region.as_str() != REGIONS[0]),
                "{}",
                made.title
            );
        }

        assert!(found.notes.iter().any(|note| note.contains(
            "the nodes of us-west-2 follow the \
            load: their mean, 5,"
        )));
    }
}

#[test]
fn egress_without_a_price_costs_what_the_dearest_does_also_at_home() {
    let mut sources = with_nodes(sources(5), &[("instance = \"vm\"\ncount = 8", 8)]);
    let prices = "kind,cloud,region,sku,pricing,amount,currency,unit,valid_from,source\n\
                  node,metal,cellar,vm,on-demand,0.096,USD,hour,2026-09-01,list\n";
    let read =
        regionmesh_cost::read_prices("p.csv", prices.as_bytes(), &Default::default()).unwrap();
    let mut table = regionmesh_cost::PriceTable::default();

    table.apply(read.prices, false).unwrap();
    sources.prices = Prices::new(table);

    let mut config = Config::clone(sources.config.as_ref().unwrap());
    (config.regions[0].cloud, config.regions[0].billing_region) =
        ("metal".into(), Some("cellar".into()));
    sources.regions = region_map(&config);
    sources.config = Some(Arc::new(config));
    sources.bytes_per_answer = 1e6;

    let found = recommendations(&Wishes::default(), &sources).unwrap();
    let egress = (found.baseline.monthly_cost - monthly([8, 8])).to_f64();

    // Google Cloud's 0.12 USD per 2^30 bytes counts for both.
    let expected = 2.0 * (5_000.0 / 900.0) * 3_600.0 * 730.0 * 1e6 / f64::from(1 << 30) * 0.12;
    assert!(
        (egress / expected - 1.0).abs() < 0.01,
        "{egress} instead of {expected}"
    );

    let told = found
        .notes
        .iter()
        .filter(|note| note.contains("no price in USD of egress from us-west-2"));

    assert_eq!(told.count(), 1, "{:?}", found.notes);
}

#[test]
fn counters_beyond_all_bounds_are_taken() {
    let mut live = LiveMeter::new(2 * DAY);
    let sources = sources(1);
    for (minute, count) in [(0, 0), (1, u64::MAX)] {
        let did = ModelCounters {
            requests: count,
            busy_ms: count,
        };
        let counters = Counters {
            models: [("a".to_owned(), did), ("b".to_owned(), did)].into(),
            ..Counters::default()
        };
        let counted = SourceCounters {
            source: "n",
            started_ms: START_MS,
            counters: &counters,
        };

        for region in REGIONS {
            let running = sources.capacity[region].clone();
            live.observe(
                region,
                START_MS + minute * 60_000,
                running,
                &[counted],
                sources.pricing(),
            );
        }
    }

    let sources = Sources {
        live: Arc::new(live),
        today: regionmesh_cost::date_at(START_MS).unwrap(),
        ..sources
    };

    // Whether so much can be placed is another question.
    let _ = recommendations(&Wishes::default(), &sources);
}

#[test]
fn a_region_is_heard_of_once_a_living_agent_has_published_its_counters() {
    let config = fixture::config(&[(REGIONS[0], "192.0.2.1")], "");
    let board = |is_alive: bool, status_entries: Vec<StatusEntry>| {
        let seen = |status_entry: StatusEntry| {
            (
                status_entry.kind(),
                SeenStatus {
                    status_entry: Arc::new(status_entry),
                    version: Default::default(),
                    seen_at: Instant::now(),
                },
            )
        };

        let view = AgentView {
            is_alive,
            status_entries: status_entries.into_iter().map(seen).collect(),
        };
        let mut board = BoardView::default();

        board
            .agents
            .insert(format!("{}/n", REGIONS[0]).parse().unwrap(), view);
        board
    };

    let counters = || vec![StatusEntry::Cost(CostStatus::default())];
    let is_heard = |board: BoardView| observe::is_heard(&config.regions[0], &board);
    assert!(is_heard(board(true, counters())));
    assert!(!is_heard(board(false, counters())));
    assert!(!is_heard(board(true, Vec::new())));
    assert!(!is_heard(BoardView::default()));
}
