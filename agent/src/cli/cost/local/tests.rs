use super::*;
use serde_json::Value;

const HEAD: &str = "ProviderName,BillingCurrency,ChargePeriodStart,ChargeCategory,EffectiveCost\n";

/// Bills that can be read, in part or not at all.
fn bills() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, rows: &str| std::fs::write(at(name), format!("{HEAD}{rows}")).unwrap();

    write("good.csv", "AWS,USD,2026-09-01,Usage,1.5\n");
    write(
        "odd.csv",
        "AWS,USD,2026-09-02,Usage,0.0000000000000001\nAWS,USD,2026-09-02,Usage,much\n",
    );

    write("cut.csv", "AWS,USD,2026-09-03,Usage,2\nAWS,USD,20");
    write("none.csv", "AWS,USD,2026-09-02,Usage,much\n");
    std::fs::write(at("text.csv"), "no bill\n").unwrap();
    folder
}

#[test]
fn an_answer_names_what_was_left_out_of_its_files() {
    let folder = bills();
    let asked = |kind: &str, names: &[&str], format| {
        let paths: Vec<PathBuf> = names.iter().map(|name| folder.path().join(name)).collect();
        answer(&paths, None, kind, &Parameters::new(), format)
    };
    let all = ["good.csv", "odd.csv", "cut.csv", "text.csv"];
    let (text, is_whole) = asked("report", &all, Format::Json).unwrap();
    assert!(!is_whole);

    let report: Value = serde_json::from_str(&text).unwrap();
    let of_files = report["warnings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|warning| warning["kind"] == "file");
    let warnings = of_files
        .map(|warning| warning["message"].to_string())
        .collect::<Vec<_>>()
        .join("\n");

    let parts = [
        "cut.csv: the file ends early",
        "text.csv: no column",
        "2 of 5 rows are bad and were left out; the first: ",
        "odd.csv:3: EffectiveCost",
        "1 rows have amounts",
        "good.csv: no column ListCost",
    ];

    for part in parts {
        assert!(warnings.contains(part), "{part}\n{warnings}");
        for format in [Format::Table, Format::Html] {
            assert!(
                asked("report", &all, format).unwrap().0.contains(part),
                "{part} in {format:?}"
            );
        }

        let (sources, _) = asked("sources", &all, Format::Json).unwrap();
        let sources: Value = serde_json::from_str(&sources).unwrap();
        assert!(
            sources["warnings"].to_string().contains(part),
            "{part}\n{sources}"
        );
    }

    assert!(
        asked("report", &["good.csv", "odd.csv"], Format::Json)
            .unwrap()
            .1
    );

    for (name, part) in [
        ("none.csv", "none.csv:2: EffectiveCost"),
        ("text.csv", "text.csv: no column"),
    ] {
        let error = asked("report", &[name], Format::Json)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("no row of these files can be used: ") && error.contains(part),
            "{error}"
        );
    }
}
