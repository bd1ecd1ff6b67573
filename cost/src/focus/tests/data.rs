//! Real and official data, from outside of the project.

use super::*;
use std::fs;

/// Sums by Python's `decimal` over the rows of the sample.
#[test]
fn the_sample_sums_to_the_last_digit() {
    let Some(path) = shared("focus-sample/focus_sample.csv") else {
        return;
    };
    let text = fs::read(path).unwrap();
    let import = read_with(ImportOptions::default(), &text);

    assert_eq!((import.report.imported, reasons(&import)), (1000, vec![]));
    assert_eq!(total(&import, Metric::Effective), "14.97651418586");
    assert_eq!(total(&import, Metric::Billed), "20.52022672899");
    assert_eq!(total(&import, Metric::List), "23.00460575119");

    let parts: Vec<_> = import
        .parts
        .iter()
        .map(|part| (part.source.as_str(), part.period.to_string(), part.rows))
        .collect();

    assert_eq!(
        parts,
        [
            ("AWS 1234567890123", "2024-09".into(), 942),
            (
                "Microsoft /providers/Microsoft.Billing/billingAccounts/8611537",
                "2024-09".into(),
                51
            ),
            ("Oracle 20209880", "2024-09".into(), 6),
            ("Oracle 20209880", "2024-10".into(), 1),
        ]
    );

    let bytes = |import: &Import| {
        import
            .parts
            .iter()
            .map(|part| part.cells.encode().unwrap())
            .collect::<Vec<_>>()
    };
    let again = read_with(ImportOptions::default(), &text);

    assert_eq!(bytes(&import), bytes(&again));
    let options = ImportOptions {
        tag_keys: vec!["environment".into()],
        ..ImportOptions::default()
    };
    let tagged = read_with(options, &text);

    assert_eq!(tagged.report.totals, import.report.totals);
    let cells = &tagged.parts[0].cells;
    let values = cells
        .tag_column("environment")
        .unwrap()
        .iter()
        .map(|place| cells.texts()[*place as usize].as_str());

    assert!(
        values
            .collect::<std::collections::BTreeSet<_>>()
            .is_superset(&["", "dev", "prod"].into())
    );
}

/// File, rows, effective and billed cost, effective cost of unused commitments.
const COMMITMENTS: [(&str, u64, &str, &str, &str); 11] = [
    (
        "flexibility/one_hundred_percent_utilization_\
            with_commitment_discount_flexibility_with_1_resource",
        3,
        "2.75",
        "2.75",
        "0",
    ),
    (
        "flexibility/one_hundred_percent_utilization_\
            with_commitment_discount_flexibility_with_2_resources",
        3,
        "2",
        "2",
        "0",
    ),
    (
        "flexibility/one_hundred_percent_utilization_\
            without_commitment_discount_flexibility",
        2,
        "1.5",
        "1.5",
        "0",
    ),
    (
        "flexibility/zero_percent_utilization_\
            without_commitment_discount_flexibility",
        3,
        "3.5",
        "3.5",
        "1.5",
    ),
    (
        "scenarios/commitment_discount_purchase_scenario_1",
        1,
        "0",
        "8760",
        "0",
    ),
    (
        "scenarios/commitment_discount_purchase_scenario_2",
        3,
        "0",
        "3",
        "0",
    ),
    (
        "scenarios/commitment_discount_purchase_scenario_3",
        4,
        "0",
        "4381.5",
        "0",
    ),
    (
        "scenarios/commitment_discount_usage_scenario_1",
        1,
        "1",
        "0",
        "0",
    ),
    (
        "scenarios/commitment_discount_usage_scenario_2",
        1,
        "1",
        "0",
        "1",
    ),
    (
        "scenarios/commitment_discount_usage_scenario_3",
        2,
        "1",
        "0",
        "0.25",
    ),
    (
        "scenarios/commitment_discount_usage_scenario_4",
        2,
        "1.5",
        "0.5",
        "0",
    ),
];

#[test]
fn commitments_are_amortised_as_the_specification_says() {
    for (file, rows, effective, billed, unused) in COMMITMENTS {
        let Some(path) = shared(&format!(
            "focus-spec/specification/data/commitment_discount_{file}.csv"
        )) else {
            return;
        };
        let options = ImportOptions {
            currency: Some(Currency::USD),
            ..ImportOptions::default()
        };
        let import = read_with(options, &fs::read(path).unwrap());

        assert_eq!(
            (import.report.imported, reasons(&import)),
            (rows, vec![]),
            "{file}"
        );

        assert_eq!(
            (
                total(&import, Metric::Effective).as_str(),
                total(&import, Metric::Billed).as_str()
            ),
            (effective, billed),
            "{file}"
        );

        let cells = &import.parts[0].cells;
        let of_unused =
            (0..cells.len()).filter(|index| cells.pricing(*index) == PricingClass::Unused);
        let sum: Amount = of_unused.map(|index| cells.sums(index).effective).sum();

        assert_eq!(sum.to_string(), unused, "{file}");
    }
}
