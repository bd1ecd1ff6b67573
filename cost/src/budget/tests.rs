#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use proptest::prelude::*;
use time::Duration;

#[derive(Debug, Deserialize)]
struct Configuration {
    budgets: Vec<Budget>,
}

fn parse(text: &str) -> Result<Budget, String> {
    let configuration: Result<Configuration, _> = toml::from_str(&format!("[[budgets]]\n{text}"));
    configuration
        .map(|mut configuration| configuration.budgets.remove(0))
        .map_err(|error| error.to_string())
}

fn budget(amount: &str) -> Budget {
    parse(&format!("name = \"all\"\namount = \"{amount}\"")).unwrap()
}

fn totals(texts: &[&str]) -> Totals {
    let mut totals = Totals::default();
    for text in texts {
        let (amount, currency) = text.split_once(' ').unwrap();
        totals.add(Money {
            amount: amount.parse().unwrap(),
            currency: currency.parse().unwrap(),
        });
    }

    totals
}

fn actual(threshold: u16) -> Crossing {
    Crossing {
        kind: CrossingKind::Actual,
        threshold,
    }
}

proptest! {
    #[test]
    fn more_spending_never_crosses_less(limit in 1..1_000_000i128, low: i64, more in 0..i64::MAX) {
        let mut budget = budget("1 USD");
        budget.amount.amount = Amount(limit);

        let state = |amount: i128| {
            let spent = Totals([(Currency::USD, Amount(amount))].into());
            evaluate_budget(&budget, &spent, None)
        };
        let less = state(i128::from(low));
        let more = state(i128::from(low) + i128::from(more));

        prop_assert!(
            less.crossed
                .iter()
                .all(|crossing| more.crossed.contains(crossing))
        );

        prop_assert!(less.ratio <= more.ratio);
        for crossing in [50u16, 80, 100] {
            let is_reached = i128::from(low) * 100 >= limit * i128::from(crossing);
            prop_assert_eq!(less.crossed.contains(&actual(crossing)), is_reached);
        }
    }

    #[test]
    fn periods_are_contiguous(day in 0..1_000_000i32, which in 0..4usize) {
        let period = [
            BudgetPeriod::Daily,
            BudgetPeriod::Monthly,
            BudgetPeriod::Quarterly,
            BudgetPeriod::Yearly,
        ][which];
        let day = Date::from_julian_day(day + 1_800_000).unwrap();
        let window = period.window(day);

        prop_assert!(window.first <= day && day <= window.last);
        prop_assert_eq!(period.window(window.first), window);
        prop_assert_eq!(period.window(window.last), window);
        prop_assert_eq!(
            period.window(window.last + Duration::DAY).first,
            window.last + Duration::DAY
        );

        let days = (window.last - window.first).whole_days() + 1;
        let expected = [1..=1, 28..=31, 90..=92, 365..=366];
        prop_assert!(expected[which].contains(&days));
    }
}

#[test]
fn thresholds_are_compared_exactly() {
    let budget = budget("0.000000000000010 USD");
    let crossed =
        |amount: &str| evaluate_budget(&budget, &totals(&[&format!("{amount} USD")]), None).crossed;

    assert_eq!(crossed("0.000000000000004"), []);
    assert_eq!(crossed("0.000000000000005"), [actual(50)]);
    assert_eq!(
        crossed("0.000000000000010"),
        [actual(50), actual(80), actual(100)]
    );

    assert_eq!(crossed("-5"), []);
}

#[test]
fn other_currencies_are_never_compared() {
    let budget = budget("100 EUR");
    let state = evaluate_budget(
        &budget,
        &totals(&["5000 USD", "60 EUR", "0 GBP"]),
        Some(&totals(&["9000 USD"])),
    );

    assert_eq!(state.crossed, [actual(50)]);
    assert_eq!((state.ratio, state.forecast_ratio), (0.6, None));

    let problem = state.problem.unwrap();
    let expected = BudgetProblem::OtherCurrencies {
        spent: totals(&["5000 USD"]),
        forecast: totals(&["9000 USD"]),
    };

    assert_eq!(problem, expected);
    assert!(
        problem
            .to_string()
            .starts_with("costs in USD are not counted"),
        "{problem}"
    );

    let state = evaluate_budget(&budget, &totals(&["5000 EUR"]), None);
    assert_eq!((state.problem, state.forecast), (None, None));
}

#[test]
fn operators_write_budgets_in_toml() {
    let minimal = parse("name = \"all\"\namount = \"12000.50 usd\"").unwrap();
    assert_eq!(minimal.amount.to_string(), "12000.5 USD");
    assert_eq!(
        (minimal.scope, minimal.period, minimal.metric),
        (BudgetScope::Mesh, BudgetPeriod::Monthly, Metric::Effective)
    );

    assert_eq!(minimal.actual_thresholds, [50, 80, 100]);
    assert_eq!(minimal.forecast_thresholds, [100]);
    assert_eq!(minimal.action, BudgetAction::Notify);

    let scopes = [
        ("\"mesh\"", BudgetScope::Mesh),
        (
            "{ region = \"eu-west-1\" }",
            BudgetScope::Region("eu-west-1".to_owned()),
        ),
        (
            "{ model = \"resnet\" }",
            BudgetScope::Model("resnet".to_owned()),
        ),
        (
            "{ tag = { key = \"team\", value = \"ml\" } }",
            BudgetScope::Tag {
                key: "team".to_owned(),
                value: "ml".to_owned(),
            },
        ),
    ];

    for (text, scope) in scopes {
        let text = format!(
            "name = \"b\"\nscope = {text}\namount = \"1 EUR\"\nperiod = \"quarterly\"\nmetric = \
             \"billed\"\n\
             actual_thresholds = []\nforecast_thresholds = [90, 110]\naction = \"shift\""
        );
        let budget = parse(&text).unwrap();

        assert_eq!(budget.scope, scope);
        assert_eq!(
            (budget.period, budget.metric, budget.action),
            (BudgetPeriod::Quarterly, Metric::Billed, BudgetAction::Shift)
        );

        let again = toml::to_string(&budget).unwrap();
        assert_eq!(toml::from_str::<Budget>(&again).unwrap(), budget);

        let json = serde_json::to_string(&budget).unwrap();
        assert_eq!(serde_json::from_str::<Budget>(&json).unwrap(), budget);
    }
}

fn bad_budgets() -> impl IntoIterator<Item = (String, &'static str)> {
    let named = |rest: &str| format!("name = \"b\"\n{rest}");
    [
        (
            "name = \"\"\namount = \"1 USD\"".to_owned(),
            "name must be 1 to 128 printable characters",
        ),
        (
            "name = \"a\\u001b\"\namount = \"1 USD\"".to_owned(),
            "name must be 1 to 128 printable characters",
        ),
        (
            named("amount = \"1 USD\"\nscope = { region = \"\" }"),
            "scope must be 1 to 128 printable characters",
        ),
        (
            named("amount = \"0 USD\""),
            "amount is 0 USD; it must be more than 0",
        ),
        (
            named("amount = \"-5 USD\""),
            "amount is -5 USD; it must be more than 0",
        ),
        (named("amount = \"12000\""), "write it as \"12000 EUR\""),
        (
            named("amount = \"many EUR\""),
            "the amount is not a decimal number",
        ),
        (named("amount = \"5 XXX\""), "amount has no currency"),
        (named("amount = \"5 €\""), "is not a currency"),
        (
            named("amount = \"5 USD\"\nactual_thresholds = [0]"),
            "actual_thresholds contains 0; thresholds are percents",
        ),
        (
            named("amount = \"5 USD\"\nforecast_thresholds = [1001]"),
            "forecast_thresholds contains 1001",
        ),
        (
            named("amount = \"5 USD\"\nactual_thresholds = [50, 50]"),
            "actual_thresholds contains 50 twice",
        ),
        (
            named("amount = \"5 USD\"\nactual_thresholds = []\nforecast_thresholds = []"),
            "set at least one threshold",
        ),
        (
            named(
                "amount = \"5 USD\"\nactual_thresholds = \
                    [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]",
            ),
            "has 17 thresholds; at most 16",
        ),
        (
            named("amount = \"5 USD\"\nthreshold = [50]"),
            "unknown field `threshold`",
        ),
        (
            named("amount = \"5 USD\"\nperiod = \"weekly\""),
            "unknown variant `weekly`",
        ),
        (
            named("amount = \"5 USD\"\nscope = { tag = { key = \"a\", value = \"b\", x = 1 } }"),
            "unexpected keys in table: x",
        ),
        ("amount = \"5 USD\"".to_owned(), "missing field `name`"),
    ]
}

#[test]
fn bad_budgets_are_refused_with_a_reason() {
    for (text, reason) in bad_budgets() {
        let error = parse(&text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn names_are_unique() {
    let one = budget("1 USD");
    let mut other = budget("2 USD");
    assert_eq!(
        check_budgets(&[one.clone(), other.clone()]),
        Err(BudgetError::NameTwice {
            budget: "all".to_owned()
        })
    );

    other.name = "other".to_owned();
    assert_eq!(check_budgets(&[one, other]), Ok(()));
}

#[test]
fn thresholds_are_bounded_per_budget_and_in_total() {
    let named = |number: usize| Budget {
        name: number.to_string(),
        ..budget("1 USD")
    };
    let mut budgets: Vec<Budget> = (0..regionmesh_protocol::status::money::BUDGETS_MAX)
        .map(named)
        .collect();

    assert_eq!(check_budgets(&budgets), Ok(()));
    budgets[0].actual_thresholds.push(90);

    let error = check_budgets(&budgets).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the budgets have 129 thresholds in all; at most 128"),
        "{error}"
    );
}

#[test]
fn a_state_is_strict_json() {
    let budget = budget("100 USD");
    let state = evaluate_budget(&budget, &totals(&["60 USD", "1 EUR"]), None);
    let json = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<BudgetState>(&json).unwrap(), state);
    assert!(serde_json::from_str::<BudgetState>(&json.replacen('{', "{\"x\":1,", 1)).is_err());
}
