#![allow(clippy::unwrap_used)]

use super::*;
use crate::{config::fixture, cost::observe};
use regionmesh_core::{
    gossip::{AgentView, SeenStatus},
    planning::{RegionInput, Strategy},
    recovery::{canary::Evidence, ramp::RecoveryPolicy},
};
use regionmesh_cost::{Budget, BudgetPeriod, Money, Prices, evaluate_budget};
use regionmesh_protocol::{
    plan::RegionPlan,
    status::{
        Links, ServingStatus, StatusEntry,
        entry::EntryVersion,
        money::{CostStatus, EgressUse, ModelUse},
    },
};
use std::{sync::Arc, time::Instant};

/// 2026-09-21, noon.
const START_MS: u64 = 1_789_992_000_000;
const CHEAP: &str = "us-west-2";
const DEAR: &str = "eu-west-1";

/// Two regions whose nodes have a price of the built-in table: 0.096 and 0.14743092 USD an hour.
fn config() -> Config {
    let mut config = fixture::config(
        &[(CHEAP, "192.0.2.1"), (DEAR, "192.0.2.2")],
        "traffic = { cost = true }\n",
    );

    for (region, cloud, nodes) in [(0, "aws", "m5.large"), (1, "gcp", "e2-standard-4")] {
        let known = &mut config.regions[region];
        known.cloud = cloud.into();
        known.nodes = vec![toml::from_str(&format!("instance = \"{nodes}\"\ncount = 1")).unwrap()];
    }

    config
}

/// An agent in each region that publishes what it counted: requests of `m` by region, each of 90
/// ms; answers of 1,000 bytes.
fn board(requests: [u64; 2], round_trip_us: u64) -> BoardView {
    let mut board = BoardView::default();
    for (region, other, requests) in [(CHEAP, DEAR, requests[0]), (DEAR, CHEAP, requests[1])] {
        let models = vec![ModelUse {
            model: "m".into(),
            requests,
            busy_ms: requests * 90,
        }];
        let egress = vec![EgressUse {
            to: None,
            cause: "other".into(),
            bytes: requests * 1_000,
        }];

        let published = [
            StatusEntry::Cost(CostStatus {
                counted_since_ms: START_MS,
                models,
                egress,
                ..CostStatus::default()
            }),
            StatusEntry::Serving(ServingStatus {
                places: 2,
                ..ServingStatus::default()
            }),
            StatusEntry::Links(Links {
                peers: vec![(format!("{other}/n"), round_trip_us)],
                unreachable: vec![],
            }),
        ];

        let status_entries = published.into_iter().map(|status_entry| {
            let kind = status_entry.kind();
            (
                kind,
                SeenStatus {
                    status_entry: Arc::new(status_entry),
                    version: EntryVersion::default(),
                    seen_at: Instant::now(),
                },
            )
        });

        board.agents.insert(
            format!("{region}/n").parse().unwrap(),
            AgentView {
                is_alive: true,
                status_entries: status_entries.collect(),
            },
        );
    }

    board
}

fn costs(config: &Config, requests: [u64; 2], budgets: &[BudgetProgress]) -> RequestCosts {
    let prices = Prices::default();
    let map = observe::region_map(config);
    let pricing = Pricing {
        prices: &prices,
        regions: &map,
    };
    let mut live = LiveMeter::new(600_000);

    observe::observe(
        &mut live,
        config,
        &board([0, 0], 10_000),
        &BTreeMap::new(),
        START_MS,
        pricing,
    );

    let board = board(requests, 10_000);
    let now_ms = START_MS + 60_000;
    observe::observe(&mut live, config, &board, &BTreeMap::new(), now_ms, pricing);

    let today = regionmesh_cost::date_at(now_ms).unwrap();
    let live = &live;
    Observed {
        config,
        board: &board,
        live,
        budgets,
        pricing,
        today,
        now_ms,
    }
    .request_costs()
}

fn inputs() -> PlanInputs {
    let region = |(region, octet): (&str, u8)| {
        let input = RegionInput {
            weight_bp: 10_000,
            priority: 0,
            addresses: vec![[192, 0, 2, octet].into()],
            condition: Condition::Healthy,
            since_ms: 0,
            reason: String::new(),
            is_complete: true,
            is_loaded: true,
            inference_passes: None,
            capacity_rps: Some(1_000),
            measured_capacity_rps: None,
            load_rps: Some(100),
            evidence: Evidence::NotMeasured,
        };

        (region.parse().unwrap(), input)
    };

    PlanInputs {
        regions: [(CHEAP, 1), (DEAR, 2)].map(region).into(),
        strategy: Strategy::Weighted,
        suspect_percent: 10,
        recovery: RecoveryPolicy::default(),
        max_out: 1,
        ttl_ms: 5_000,
        cost: None,
    }
}

fn plan() -> Plan {
    let part = RegionPlan {
        weight_bp: 10_000,
        ..RegionPlan::default()
    };

    Plan {
        regions: [CHEAP, DEAR]
            .map(|name| (name.parse().unwrap(), part.clone()))
            .into(),
        ..Plan::default()
    }
}

fn factor(target: &CostTarget, region: &str) -> u16 {
    target.factors_bp[&region.parse::<RegionName>().unwrap()]
}

#[test]
fn a_request_costs_its_slot_time_and_the_egress_of_its_answer() {
    let costs = costs(&config(), [1_000, 1_000], &[]);
    // A million requests of 90 ms are 25 hours of a place; two places cost what the node costs.
    // 10^9 bytes of answers go to the internet, at the first tier of the price of 2^30.
    let expected = |node: f64, egress: f64| 25.0 * node / 2.0 + egress * 1e9 / f64::powi(2.0, 30);

    for (region, expected) in [
        (CHEAP, expected(0.096, 0.09)),
        (DEAR, expected(0.14743092, 0.12)),
    ] {
        let found = costs.per_million[&region.parse::<RegionName>().unwrap()].0 as f64 / 1e15;
        assert!(
            (found - expected).abs() < 1e-6,
            "{region}: {found} for {expected}"
        );
    }

    let latency = &costs.latency_ms[&CHEAP.parse::<RegionName>().unwrap()];
    assert_eq!(latency.values().copied().collect::<Vec<_>>(), [100, 90]);
    assert!(!costs.is_budget_used_up);
}

#[test]
fn few_requests_in_a_region_do_not_price_it_and_without_any_no_region_is_priced() {
    let lone = costs(&config(), [1_000, 3], &[]);
    assert_eq!(lone.per_million.len(), 2, "the mesh's mean counts");
    assert!(costs(&config(), [0, 0], &[]).per_million.is_empty());

    let mut unpriced = config();
    unpriced.regions[1].nodes[0].instance = "unheard-of".into();

    let known = costs(&unpriced, [1_000, 1_000], &[]);
    assert_eq!(
        known
            .per_million
            .keys()
            .map(RegionName::as_str)
            .collect::<Vec<_>>(),
        [CHEAP]
    );

    let target = target(
        &unpriced,
        Some(&known),
        &plan(),
        &inputs(),
        START_MS + 60_000,
    )
    .unwrap();

    assert!(
        target.factors_bp.is_empty() && target.reason.contains("in eu-west-1 is not known"),
        "{}",
        target.reason
    );
}

#[test]
fn traffic_leaves_the_more_expensive_region_in_steps_and_returns_on_request() {
    let config = config();
    let inputs = inputs();
    let mut plan = plan();
    let mut now_ms = START_MS + 60_000;
    let mut costs = costs(&config, [1_000, 1_000], &[]);
    let first = target(&config, Some(&costs), &plan, &inputs, now_ms).unwrap();

    assert_eq!(factor(&first, CHEAP), 10_000);
    assert!((5_000..10_000).contains(&factor(&first, DEAR)), "{first:?}");
    assert!(
        first
            .reason
            .contains("moved from eu-west-1 to us-west-2 and saves"),
        "{}",
        first.reason
    );

    (plan.cost.factors_bp, plan.cost.changed_ms) = (first.factors_bp.clone(), now_ms);
    now_ms += 60_000;
    assert_eq!(
        target(&config, Some(&costs), &plan, &inputs, now_ms)
            .unwrap()
            .factors_bp,
        first.factors_bp,
        "too early"
    );

    now_ms += 15 * 60_000;
    let old = target(&config, Some(&costs), &plan, &inputs, now_ms).unwrap();
    assert!(
        old.factors_bp.is_empty() && old.reason.contains("for 10 minutes"),
        "{}",
        old.reason
    );

    costs.at_ms = now_ms;
    let second = target(&config, Some(&costs), &plan, &inputs, now_ms).unwrap();
    assert!(factor(&second, DEAR) < factor(&first, DEAR), "{second:?}");

    let mut off = config.clone();
    off.traffic.cost = false;

    let returned = target(&off, Some(&costs), &plan, &inputs, now_ms).unwrap();
    assert_eq!(factor(&returned, DEAR), 10_000);
    plan.cost.factors_bp.clear();
    assert_eq!(target(&off, Some(&costs), &plan, &inputs, now_ms), None);
    assert_eq!(
        target(&config, None, &plan, &inputs, now_ms),
        None,
        "nothing is known: nothing is changed"
    );
}

#[test]
fn an_exhausted_shift_budget_moves_traffic_and_its_region_takes_none() {
    let budget = |action, scope, spent: i128| {
        let usd = |whole: i128| Money {
            amount: Amount(whole * 1_000_000_000_000_000),
            currency: Currency::USD,
        };
        let budget = Budget {
            name: "b".into(),
            scope,
            amount: usd(100),
            period: BudgetPeriod::Monthly,
            metric: Default::default(),
            actual_thresholds: vec![],
            forecast_thresholds: vec![],
            action,
        };

        let mut totals = regionmesh_cost::Totals::default();
        totals.add(usd(spent));

        let state = evaluate_budget(&budget, &totals, None);
        let window = budget.period.window(time::macros::date!(2026 - 09 - 21));
        BudgetProgress {
            budget,
            window,
            state,
        }
    };

    let mut config = config();
    config.traffic.cost = false;

    let targeted = |budget| {
        let costs = costs(&config, [1_000, 1_000], &[budget]);
        target(&config, Some(&costs), &plan(), &inputs(), START_MS + 60_000)
    };

    assert_eq!(
        targeted(budget(BudgetAction::Shift, BudgetScope::Mesh, 99)),
        None
    );

    assert_eq!(
        targeted(budget(BudgetAction::Notify, BudgetScope::Mesh, 200)),
        None
    );

    assert!(
        factor(
            &targeted(budget(BudgetAction::Shift, BudgetScope::Mesh, 100)).unwrap(),
            DEAR
        ) < 10_000
    );

    let of_cheap = BudgetScope::Region(CHEAP.into());
    assert_eq!(
        factor(
            &targeted(budget(BudgetAction::Shift, of_cheap, 100)).unwrap(),
            DEAR
        ),
        10_000
    );
}
