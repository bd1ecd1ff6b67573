#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn file(path: &str, modified_ms: i64) -> StoredFile {
    StoredFile {
        path: path.into(),
        size: path.len() as u64,
        modified_ms,
    }
}

fn found(files: &[StoredFile], contents: &[(&str, &str)]) -> Exports {
    let contents: BTreeMap<_, _> = contents
        .iter()
        .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
        .collect();
    let wanted = export_manifests(files);

    assert!(
        contents.keys().all(|path| wanted.contains(path)),
        "{wanted:?}"
    );

    find_exports(files, &contents)
}

fn names(exports: &Exports) -> Vec<(&str, Option<String>, Vec<&str>)> {
    let set = |set: &'_ ExportSet| set.period.map(|period| period.to_string());
    exports
        .sets
        .iter()
        .map(|each| {
            (
                each.root.as_str(),
                set(each),
                each.files.iter().map(String::as_str).collect(),
            )
        })
        .collect()
}

#[test]
fn aws_manifests_decide_which_execution_counts() {
    let old = "pre/focus/data/BILLING_PERIOD=2026-09/run1/focus-00001.csv.gz";
    let new = "pre/focus/data/BILLING_PERIOD=2026-09/run2/focus-00001.csv.gz";
    let lone = "pre/focus/data/BILLING_PERIOD=2026-10/run3/focus-00001.csv.gz";
    let manifest = "pre/focus/metadata/BILLING_PERIOD=2026-09/focus-Manifest.json";
    let files = [
        file(old, 1),
        file(new, 2),
        file(manifest, 3),
        file(lone, 4),
        file("pre/focus/metadata/x.txt", 5),
    ];

    let exports = found(
        &files,
        &[(
            manifest,
            &format!(r#"{{"dataFiles": ["s3://bucket/{new}"], "columns": []}}"#),
        )],
    );

    assert_eq!(
        names(&exports),
        [("pre/focus", Some("2026-09".into()), vec![new])]
    );

    let folder = "pre/focus/data/BILLING_PERIOD=2026-10".to_owned();
    assert_eq!(exports.problems, [ExportProblem::NoManifest { folder }]);
}

#[test]
fn of_simultaneous_deliveries_the_last_by_name_counts() {
    let data = |run: &str| format!("focus/data/BILLING_PERIOD=2026-09/{run}/focus-00001.csv.gz");
    let manifest =
        |run: &str| format!("focus/metadata/BILLING_PERIOD=2026-09/{run}/focus-Manifest.json");
    let runs = ["20260919T000000Z-f", "20260920T000000Z-a"];
    let files: Vec<StoredFile> = runs
        .iter()
        .flat_map(|run| [file(&data(run), 5), file(&manifest(run), 5)])
        .collect();
    let contents = runs.map(|run| {
        (
            manifest(run),
            format!(r#"{{"dataFiles": ["s3://b/{}"]}}"#, data(run)),
        )
    });

    let contents: Vec<(&str, &str)> = contents
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();

    assert_eq!(found(&files, &contents).sets[0].files, [data(runs[1])]);
}

#[test]
fn an_aws_listing_below_the_prefix_and_in_lower_case_is_understood() {
    let data = "data/billing_period=2026-09/focus-00001.snappy.parquet";
    let manifest = "metadata/billing_period=2026-09/focus-Manifest.json";
    let files = [file(data, 1), file(manifest, 3)];
    let exports = found(
        &files,
        &[(
            manifest,
            &format!(r#"{{"dataFiles": ["s3://b/pre/focus/{data}"]}}"#),
        )],
    );

    assert_eq!(names(&exports), [("", Some("2026-09".into()), vec![data])]);
    assert_eq!(exports.problems, []);
}

fn azure(name: &str, bytes: usize, kind: &str) -> String {
    format!(
        r#"{{"exportConfig": {{"type": "{kind}"}}, "blobs":
            [{{"blobName": "{name}", "byteCount": {bytes}}}]}}"#
    )
}

#[test]
fn the_newest_complete_azure_run_counts() {
    let base = "exports/daily/20260901-20260930";
    let part = |run: u8| format!("{base}/2026092{run}0400/run{run}/part_0_0001.csv");
    let manifest = |run: u8| format!("{base}/2026092{run}0400/run{run}/manifest.json");
    let mut files = Vec::new();

    for run in 1..=4 {
        files.push(file(&part(run), i64::from(run)));
        files.push(file(&manifest(run), i64::from(run)));
    }

    // The fourth run is not whole, and the first is too old to be looked at.
    let bytes = part(1).len();
    let contents = [(2, bytes), (3, bytes), (4, bytes + 1)]
        .map(|(run, bytes)| (manifest(run), azure(&part(run), bytes, "FocusCost")));
    let contents: Vec<(&str, &str)> = contents
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let exports = found(&files, &contents);

    assert_eq!(
        names(&exports),
        [(
            "exports/daily",
            Some("2026-09".into()),
            vec![part(3).as_str()]
        )]
    );

    assert_eq!(
        exports.problems,
        [ExportProblem::Incomplete {
            path: manifest(4),
            file: part(4)
        }]
    );
}

#[test]
fn other_azure_exports_are_refused_and_long_ones_have_no_month() {
    let part = "actual/20260701-20260930/run/part_0_0001.csv";
    let manifest = "actual/20260701-20260930/run/manifest.json";
    let files = [file(part, 1), file(manifest, 2)];
    let exports = found(
        &files,
        &[(manifest, &azure(part, part.len(), "ActualCost"))],
    );

    assert_eq!(exports.sets, []);
    assert_eq!(
        exports.problems,
        [ExportProblem::Kind {
            path: manifest.into(),
            kind: "ActualCost".into()
        }]
    );

    let exports = found(&files, &[(manifest, &azure(part, part.len(), "FocusCost"))]);
    assert_eq!(names(&exports), [("actual", None, vec![part])]);

    let exports = found(&files, &[(manifest, "{}")]);
    assert!(matches!(
        exports.problems[..],
        [ExportProblem::Manifest { .. }]
    ));
}

#[test]
fn plain_files_are_one_import_and_months_are_read_off_folders() {
    let files = [
        "b/focus-1.csv",
        "a.parquet",
        "gcp/2026-09/x-000.csv.gz",
        "gcp/2026-10/x-000.csv.gz",
        "README.md",
        "b/_x.csv",
    ];
    let exports = found(&files.map(|path| file(path, 1)), &[]);

    let expected: [(&str, Option<String>, Vec<&str>); 3] = [
        ("", None, vec!["a.parquet", "b/focus-1.csv"]),
        (
            "gcp",
            Some("2026-09".into()),
            vec!["gcp/2026-09/x-000.csv.gz"],
        ),
        (
            "gcp",
            Some("2026-10".into()),
            vec!["gcp/2026-10/x-000.csv.gz"],
        ),
    ];

    assert_eq!(names(&exports), expected);
}

#[test]
fn a_fingerprint_changes_with_a_file_and_not_with_the_order() {
    let print = |files: &[StoredFile]| {
        find_exports(files, &BTreeMap::new()).sets[0]
            .fingerprint
            .clone()
    };
    let a = file("a.csv", 1);
    let b = file("b.csv", 2);

    assert_eq!(
        print(&[a.clone(), b.clone()]),
        print(&[b.clone(), a.clone()])
    );

    assert_ne!(
        print(&[a.clone(), b.clone()]),
        print(&[a.clone(), file("b.csv", 3)])
    );

    assert_ne!(print(&[a.clone(), b.clone()]), print(&[a]));
}

proptest! {
    #[test]
    fn no_listing_panics_or_puts_a_file_into_two_sets(
        paths in proptest::collection::btree_set(
            "(p/)?(x/)?(data|metadata|20260901-20260930|2026-09|BILLING_PERIOD=2026-09|é)?\
             (/[ab]){0,2}/(x-Manifest.json|manifest.json|[ab].csv)",
            0..12,
        ),
        garbage: Vec<u8>,
    ) {
        let files: Vec<StoredFile> = paths.iter().map(|path| file(path, 1)).collect();
        let contents = export_manifests(&files)
            .into_iter()
            .map(|path| (path, garbage.clone()))
            .collect();
        let exports = find_exports(&files, &contents);
        let mut seen = BTreeSet::new();

        for path in exports.sets.iter().flat_map(|set| &set.files) {
            prop_assert!(seen.insert(path), "{} twice", path);
        }
    }
}
