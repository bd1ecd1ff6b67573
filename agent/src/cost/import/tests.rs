#![allow(clippy::unwrap_used)]

use super::*;
use regionmesh_cost::ImportOptions;
use time::macros::date;

const HEAD: &str = "ProviderName,BillingAccountId,BillingCurrency,ChargePeriodStart,\
    ChargeCategory,EffectiveCost\n";

#[test]
fn an_incomplete_bill_replaces_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bill.csv");
    std::fs::write(
        &path,
        format!("{HEAD}AWS,1,USD,2026-09-01T00:00:00Z,Usage,1.5\n"),
    )
    .unwrap();

    let file = BillFile {
        name: "bill.csv".into(),
        path: path.clone(),
    };
    let import = read(
        std::slice::from_ref(&file),
        ImportOptions::default(),
        |_| (),
    )
    .unwrap();

    let summary = summarise(&import, &Books::default(), true).unwrap();
    assert_eq!(
        (summary.parts[0].source.as_str(), summary.parts[0].rows),
        ("AWS 1", 1)
    );

    std::fs::write(&path, "no,bill\n1,2\n").unwrap();
    let import = read(
        std::slice::from_ref(&file),
        ImportOptions::default(),
        |_| (),
    )
    .unwrap();
    let error = summarise(&import, &Books::default(), true)
        .unwrap_err()
        .to_string();

    assert!(error.contains("bill.csv: no column"), "{error}");

    std::fs::write(&path, format!("{HEAD}AWS,1,USD,yesterday,Usage,1.5\n")).unwrap();
    let import = read(&[file], ImportOptions::default(), |_| ()).unwrap();
    let error = summarise(&import, &Books::default(), true)
        .unwrap_err()
        .to_string();

    assert!(
        error.contains("no row could be used") && error.contains("yesterday"),
        "{error}"
    );
}

fn imported(rows: &[(&str, &str)]) -> Import {
    let mut text = HEAD.to_owned();
    for (account, day) in rows {
        text += &format!("AWS,{account},USD,{day},Usage,1.5\n");
    }

    let mut importer = regionmesh_cost::Importer::new(ImportOptions::default());
    importer.read("bill.csv", text.as_bytes());
    importer.finish()
}

#[test]
fn months_past_their_retention_are_refused() {
    let import = imported(&[
        ("1", "2024-06-30"),
        ("1", "2024-07-01"),
        ("2", "2024-06-01"),
        ("1", "2024-05-01"),
    ]);

    let cost = CostConfig {
        keep_months: 26,
        ..CostConfig::default()
    };
    let error = check_age(&import, &cost, date!(2026 - 09 - 20))
        .unwrap_err()
        .to_string();

    assert!(
        error.contains("kept for 26 months") && error.contains("of 2024-05, 2024-06;"),
        "{error}"
    );

    assert!(check_age(&import, &cost, date!(2026 - 07 - 31)).is_ok());
}

#[test]
fn one_part_that_cannot_be_stored_stops_the_import() {
    let long = "9".repeat(300);
    let parts = |rows: &[(&str, &str)]| prepare(imported(rows).parts, &Books::default(), "me");
    assert_eq!(
        parts(&[("1", "2026-09-01"), ("2", "2026-09-01")])
            .unwrap()
            .len(),
        2
    );

    let refused = parts(&[("1", "2026-09-01"), (long.as_str(), "2026-09-01")]);
    assert!(refused.is_err_and(|error| {
        error
            .to_string()
            .starts_with("nothing was imported: source")
    }));
}
