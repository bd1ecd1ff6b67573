#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    anomaly::{Contributor, Scope},
    budget::{Budget, BudgetPeriod, evaluate_budget},
    cells::{CellKey, CellsBuilder, ChargeKind, PricingClass, Sums},
    date::{DAY_MS, day_number},
    ledger::StoredPart,
    money::{Currency, Money, ONE, Totals},
};
use proptest::prelude::*;
use regionmesh_protocol::status::money::Notices;
use std::{collections::BTreeSet, sync::Arc};
use time::{Date, Duration, macros::date};

const TODAY: Date = date!(2026 - 09 - 20);
const AGENTS: usize = 3;

fn budget() -> Budget {
    serde_json::from_str(r#"{ "name": "all", "amount": "100 USD" }"#).unwrap()
}

fn dollars(amount: i32) -> Totals {
    Totals([(Currency::USD, Amount(i128::from(amount) * ONE))].into())
}

fn ms(day: Date) -> u64 {
    day_number(day) as u64 * DAY_MS
}

#[derive(Debug, Clone)]
enum Step {
    /// Costs arrive, or a credit.
    Spend(i32),
    /// The forecast changes.
    Forecast(i32),
    /// Another agent leads, which knows what the leader before published.
    Elect(usize),
    /// One agent's notices reach another.
    Merge(usize, usize),
    Days(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (-60..100i32).prop_map(Step::Spend),
        2 => (0..200i32).prop_map(Step::Forecast),
        2 => (0..AGENTS).prop_map(Step::Elect),
        2 => (0..AGENTS, 0..AGENTS).prop_map(|(from, to)| Step::Merge(from, to)),
        1 => (0..20i64).prop_map(Step::Days),
    ]
}

fn merge(agents: &mut [Notices], from: usize, to: usize, now_ms: u64) {
    let known: Vec<CostNotice> = agents[from].iter().cloned().collect();
    for notice in &known {
        agents[to].take(notice, now_ms);
    }
}

proptest! {
    #[test]
    fn each_crossing_is_announced_once_whichever_agent_leads(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let budget = budget();
        let mut agents = vec![Notices::default(); AGENTS];
        let mut leader = 0;
        let mut today = TODAY;
        let mut spent = 0;
        let mut expected = 0;
        let mut announced = BTreeSet::new();

        for step in steps {
            match step {
                Step::Spend(amount) => spent += amount,
                Step::Forecast(amount) => expected = amount,
                Step::Elect(agent) => {
                    merge(&mut agents, leader, agent, ms(today));
                    leader = agent;
                }
                Step::Merge(from, to) => merge(&mut agents, from, to, ms(today)),
                Step::Days(days) => {
                    let before = budget.period.window(today);
                    today += Duration::days(days);
                    agents
                        .iter_mut()
                        .for_each(|notices| notices.forget(ms(today)));
                    if budget.period.window(today) != before {
                        (spent, expected) = (0, 0);
                    }
                }
            }

            let window = budget.period.window(today);
            let state = evaluate_budget(&budget, &dollars(spent), Some(&dollars(expected)));
            let notices = budget_notices(&budget, window, &state, ms(today));

            prop_assert_eq!(notices.len(), state.crossed.len());
            for notice in &notices {
                prop_assert!(!is_budget_over(
                    notice,
                    std::slice::from_ref(&budget),
                    ms(today) + SPREAD_MS
                ));

                if !agents[leader].contains(&notice.id) {
                    prop_assert!(announced.insert(notice.id.clone()), "{} twice", notice.id);
                    agents[leader].take(notice, ms(today));
                }

                prop_assert!(announced.contains(&notice.id), "{} never", notice.id);
            }
        }
    }

    #[test]
    fn a_fresh_notice_survives_agents_with_older_clocks_and_configurations(
        period in 0..4usize,
        // Around midnight of a year's end.
        published_s in -600..600i64,
        ahead_s in 0..60i64,
        judged_s in 0..600i64,
        behind_s in 0..60i64,
        older in 0..4usize,
        older_period in 0..4usize,
    ) {
        let periods = [
            BudgetPeriod::Daily,
            BudgetPeriod::Monthly,
            BudgetPeriod::Quarterly,
            BudgetPeriod::Yearly,
        ];

        let budget = Budget {
            period: periods[period],
            ..budget()
        };
        let at_ms = |after_s: i64| ms(date!(2027 - 01 - 01)).saturating_add_signed(after_s * 1_000);
        let clock_ms = at_ms(published_s + ahead_s);
        let window = budget.period.window(date_at(clock_ms).unwrap());
        let notice = &budget_notices(
            &budget,
            window,
            &evaluate_budget(&budget, &dollars(60), None),
            clock_ms,
        )[0];

        let other = Budget {
            name: "other".into(),
            ..budget.clone()
        };
        let raised = Budget {
            amount: Money {
                amount: Amount(ONE),
                currency: Currency::USD,
            },
            ..budget.clone()
        };

        let configurations = [
            vec![],
            vec![other],
            vec![raised],
            vec![Budget {
                period: periods[older_period],
                ..budget.clone()
            }],
        ];

        let judged_ms = at_ms(published_s + judged_s - behind_s);
        prop_assert!(!is_budget_over(notice, &configurations[older], judged_ms));

        // Its own configuration keeps it for its whole period, and no configuration keeps it
        // longer.
        let current = std::slice::from_ref(&budget);
        let last_ms = end_of_day_ms(window.last) - 1;

        for now_ms in [judged_ms, clock_ms, last_ms] {
            prop_assert!(!is_budget_over(notice, current, now_ms));
        }
        prop_assert!(is_budget_over(
            notice,
            current,
            clock_ms.max(last_ms) + SPREAD_MS
        ));

        prop_assert!(is_budget_over(notice, &[], clock_ms + SPREAD_MS));
    }
}

#[test]
fn a_notice_names_amount_budget_and_period() {
    let budget = Budget {
        scope: crate::budget::BudgetScope::Region("eu-west-1".into()),
        forecast_thresholds: vec![],
        ..budget()
    };
    let window = budget.period.window(TODAY);
    let state = evaluate_budget(&budget, &dollars(120), None);
    let notices = budget_notices(&budget, window, &state, 7);
    let last = notices.last().unwrap();

    assert_eq!(last.id, "budget:all:100 USD:2026-09-01:actual:100");
    assert_eq!(
        last.text,
        "budget all: 100 % of 100.00 USD for 2026-09-01 to 2026-09-30 is spent; 120.00 USD so far"
    );

    assert_eq!(
        (last.severity, notices[0].severity),
        (Severity::Warning, Severity::Info)
    );

    assert_eq!(last.region.as_ref().unwrap().as_str(), "eu-west-1");
    let current = std::slice::from_ref(&budget);
    assert!(
        !is_budget_over(last, current, ms(TODAY))
            && is_budget_over(last, current, ms(date!(2026 - 10 - 01)))
    );

    let yearly = Budget {
        period: BudgetPeriod::Yearly,
        ..budget.clone()
    };

    assert!(
        is_budget_over(last, &[yearly], ms(TODAY)),
        "a monthly budget does not end a yearly one"
    );

    let raised = Budget {
        amount: Money {
            amount: Amount(200 * ONE),
            currency: Currency::USD,
        },
        ..budget
    };

    assert!(
        is_budget_over(last, &[raised], ms(TODAY)),
        "a budget with a changed amount notifies again"
    );
}

#[test]
fn an_anomaly_notice_has_its_range_and_contributors() {
    let usd = |amount: i128| Amount(amount * ONE);
    let anomaly = Anomaly {
        id: "live:region=us-west-2:USD:60".into(),
        plane: Plane::Live,
        kind: AnomalyKind::Spike,
        scope: Scope::from([("region".into(), "us-west-2".into())]),
        since: TODAY.midnight().assume_utc(),
        until: None,
        expected_low: usd(4),
        expected_high: usd(5),
        actual: usd(15),
        excess: Money {
            amount: usd(2),
            currency: Currency::USD,
        },
        contributors: vec![Contributor {
            part: "nodes".into(),
            excess: usd(2),
        }],
    };

    let notice = anomaly_notice(&anomaly, "us-west-2".parse().ok());
    assert_eq!(
        notice.text,
        "region us-west-2 costs more than usual: 15.00 USD an hour, 4.00 to 5.00 are usual \
         (live); 2.00 USD so far; \
         of it nodes 2.00"
    );

    assert_eq!(
        (notice.id.as_str(), notice.since_ms),
        ("anomaly:live:region=us-west-2:USD:60", ms(TODAY))
    );
}

#[test]
fn a_bill_is_late_after_its_deadline_but_not_forever() {
    let mut builder = CellsBuilder::new(Vec::new());
    let key = CellKey {
        day: date!(2026 - 09 - 10),
        kind: ChargeKind::Usage,
        pricing: PricingClass::OnDemand,
        currency: Currency::USD,
        texts: [""; 6],
        tags: &[],
    };

    let place = builder.place(&key);
    builder.add(
        place,
        Sums {
            rows: 1,
            ..Sums::default()
        },
    );

    let imported_ms = ms(date!(2026 - 09 - 13));
    let part = StoredPart::new(
        "AWS 1".into(),
        "2026-09".parse().unwrap(),
        imported_ms,
        "a".into(),
        builder.finish(),
    );
    let mut ledger = Ledger::default();

    ledger.insert(Arc::new(part.unwrap()));

    let late_from_ms = ms(date!(2026 - 09 - 14));
    assert!(late_notices(&ledger, 72, late_from_ms - 1).is_empty());

    let notices = late_notices(&ledger, 72, late_from_ms);
    assert_eq!(
        notices.iter().map(|notice| &*notice.id).collect::<Vec<_>>(),
        ["data:late:AWS 1:2026-09-10"]
    );

    assert!(late_notices(&ledger, 72, ms(date!(2026 - 11 - 01))).is_empty());
}
