#![allow(clippy::unwrap_used)]

use super::*;
use std::time::{Duration, SystemTime};

const BILL: &str = "ChargePeriodStart,ProviderName,BillingCurrency,EffectiveCost\n\
    2026-09-01T00:00:00Z,AWS,USD,1.5\n";

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

fn paths(paths: &[PathBuf]) -> Vec<PathBuf> {
    find(paths)
        .unwrap()
        .files
        .into_iter()
        .map(|file| file.path)
        .collect()
}

#[test]
fn folders_expand_to_the_bills_in_them_and_files_to_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["b.csv", "part/a.CSV.gz", "readme.md", "manifest.json"] {
        write(folder.path(), name, "");
    }
    std::os::unix::fs::symlink(folder.path(), at("part/loop")).unwrap();
    assert_eq!(
        paths(&[folder.path().into()]),
        [at("b.csv"), at("part/a.CSV.gz")]
    );

    assert_eq!(paths(&[at("readme.md")]), [at("readme.md")]);
    fs::create_dir(at("empty")).unwrap();
    assert!(matches!(find(&[at("empty")]), Err(FilesError::None(_))));
    assert!(matches!(
        find(&[at("missing.csv")]),
        Err(FilesError::Unreadable { .. })
    ));
}

#[test]
fn a_file_named_twice_is_read_once_and_a_copy_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bill = write(folder.path(), "a/x.csv", BILL);
    let link = folder.path().join("link.csv");

    std::os::unix::fs::symlink(&bill, &link).unwrap();
    let named = [
        bill.clone(),
        folder.path().join("a/../a/x.csv"),
        link,
        folder.path().into(),
    ];

    assert_eq!(paths(&named), std::slice::from_ref(&bill));

    let read = |paths: &[PathBuf]| {
        read(
            &find(paths).unwrap().files,
            ImportOptions::default(),
            |_| (),
        )
    };

    assert_eq!(read(&[folder.path().into()]).unwrap().report.imported, 1);
    let other = write(folder.path(), "y.csv", BILL.replace("1.5", "2.5"));
    assert_eq!(read(&[bill.clone(), other]).unwrap().report.imported, 2);

    let copy = write(folder.path(), "copy.csv", BILL);
    let error = read(&[bill, copy]).unwrap_err().to_string();
    assert!(
        error.contains("copy.csv has the same content as") && error.contains("x.csv"),
        "{error}"
    );
}

#[test]
fn only_the_newest_complete_delivery_of_an_export_counts() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str, age_s: u64| {
        let path = write(folder.path(), name, content);
        let time = SystemTime::now() - Duration::from_secs(age_s);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(time)
            .unwrap();

        path
    };

    let mut bills = Vec::new();
    for (run, age_s, listed) in [
        (1, 300, "bill.csv"),
        (2, 200, "bill.csv"),
        (3, 100, "gone.csv"),
    ] {
        let run = format!("focus/data/BILLING_PERIOD=2026-09/run{run}");
        bills.push(file(&format!("{run}/bill.csv"), BILL, age_s));
        let manifest = run.replace("/data/", "/metadata/");
        let content = format!("{{\"dataFiles\": [\"s3://bucket/exports/{run}/{listed}\"]}}");
        file(&format!("{manifest}/focus-Manifest.json"), &content, age_s);
    }

    let found = find(&[folder.path().into()]).unwrap();
    assert_eq!(
        found
            .files
            .into_iter()
            .map(|file| file.path)
            .collect::<Vec<_>>(),
        [bills[1].clone()]
    );

    assert_eq!(found.passed_over.len(), 1, "{:?}", found.passed_over);
    assert!(
        found.passed_over[0].contains("run3/focus-Manifest.json: the export is incomplete"),
        "{found:?}",
        found = found.passed_over
    );

    fs::remove_dir_all(
        folder
            .path()
            .join("focus/metadata/BILLING_PERIOD=2026-09/run1"),
    )
    .unwrap();

    fs::remove_dir_all(
        folder
            .path()
            .join("focus/metadata/BILLING_PERIOD=2026-09/run2"),
    )
    .unwrap();

    assert!(matches!(
        find(&[folder.path().into()]),
        Err(FilesError::PassedOver(_))
    ));
}
