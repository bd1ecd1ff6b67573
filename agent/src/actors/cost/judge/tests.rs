use super::*;
use regionmesh_cost::{Currency, ONE, Reconciliation};

#[test]
fn bills_that_changed_while_being_judged_are_read_again() {
    let metrics = CostMetrics::new(&regionmesh_runtime::metrics::Registry::new()).unwrap();
    let budget: Budget = serde_json::from_str(r#"{ "name": "all", "amount": "1 USD" }"#).unwrap();
    let today = date_at(0).unwrap();
    let sources = Sources::of_files(Default::default(), CostConfig::default(), today);
    let basis = sources.budget_basis(&budget).unwrap();

    for (have_changed, expected) in [(false, 1), (true, 0)] {
        let mut judge = Judge {
            is_running: true,
            ..Judge::default()
        };

        if have_changed {
            judge.books_changed();
        }

        let known = Known {
            budget: budget.clone(),
            today,
            basis: basis.clone(),
        };
        let (budgets, notices, ended, billed) = Default::default();
        let verdict = Verdict {
            known: [("all".to_owned(), known)].into(),
            budgets,
            notices,
            ended,
            billed,
        };

        judge.ended(
            verdict,
            &CostConfig::default(),
            &mut Notices::default(),
            &metrics,
            0,
        );

        assert_eq!((judge.known.len(), judge.is_outdated), (expected, false));
    }
}

fn compared(currency: &[u8]) -> Reconciliation {
    Reconciliation {
        region: "eu-west-1".into(),
        currency: Currency::parse(currency).unwrap(),
        days: 1,
        live: regionmesh_cost::Amount(ONE),
        billed: regionmesh_cost::Amount(ONE),
        ratio: Some(1.0),
    }
}

#[test]
fn an_agent_that_does_not_lead_exports_nothing_about_bills() {
    let registry = regionmesh_runtime::metrics::Registry::new();
    let metrics = CostMetrics::new(&registry).unwrap();
    let exported = || -> Vec<String> {
        let of_bills = [
            "month_to_date",
            "forecast_month_end",
            "reconciliation_ratio",
        ];
        let is_of_bills = |name: &str| of_bills.iter().any(|end| name.ends_with(end));
        let families = registry
            .gather()
            .into_iter()
            .filter(|family| is_of_bills(family.name()));

        families
            .map(|family| format!("{} {}", family.name(), family.get_metric().len()))
            .collect()
    };

    let figures = Figures {
        month: [(
            ("eu-west-1".into(), Currency::USD),
            regionmesh_cost::Amount(ONE),
        )]
        .into(),
        reconciliation: vec![compared(b"USD"), compared(b"EUR")],
        ..Figures::default()
    };

    let (known, budgets, notices, ended) = Default::default();
    let verdict = Verdict {
        known,
        budgets,
        notices,
        ended,
        billed: Some((Vec::new(), figures)),
    };

    let mut judge = Judge {
        is_running: true,
        ..Judge::default()
    };

    judge.ended(
        verdict,
        &CostConfig::default(),
        &mut Notices::default(),
        &metrics,
        0,
    );

    assert_eq!(
        exported(),
        [
            "regionmesh_cost_month_to_date 1",
            "regionmesh_cost_reconciliation_ratio 2"
        ]
    );

    judge.stand_down(&metrics);
    assert_eq!(exported(), Vec::<String>::new());
}
