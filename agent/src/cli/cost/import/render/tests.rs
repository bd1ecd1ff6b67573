use super::*;
use serde_json::json;

#[test]
fn the_summary_of_an_import_lists_its_bad_rows() {
    let imported = json!({ "dry_run": true, "passed_over": ["m.json: the export is incomplete"],
        "parts": [{ "source": "AWS 1", "period": "2026-09", "rows": 2, "cells": 1,
            "first_day": "2026-09-01", "last_day": "2026-09-02",
                "totals": { "effective": { "USD": "1.5" } },
            "replaced": { "rows": 7, "imported_ms": 1, "importer": "a" } }],
        "report": { "rows": 3, "imported": 2, "rounded": 1,
            "files": [{ "name": "b.csv", "bytes": 2048, "warnings": ["no column ListCost"] }],
            "bad_rows": [{ "file": "b.csv", "row": 4, "column": "EffectiveCost",
                "value": "x\u{1b}[2J", "reason": "number" }] } });
    let text = summary(&imported);

    for part in [
        "AWS 1",
        "1.5 USD",
        "7 rows",
        "2 of 3 rows in 1 file (2.0 kB) would be imported; nothing was changed",
        "warning: skipped: m.json: the export is incomplete",
        "warning: b.csv: no column ListCost",
        "warning: 1 rows have amounts",
        "b.csv:4: EffectiveCost \"x [2J\": number",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}
