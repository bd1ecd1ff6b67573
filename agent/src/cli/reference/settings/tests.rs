use super::*;

#[test]
fn every_setting_has_a_row_with_a_description() {
    let text = tables();
    let rows: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .collect();
    assert!(rows.len() > 120, "{} rows", rows.len());

    for row in &rows {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(cells.len(), 4, "{row}");
        assert!(cells.iter().all(|cell| !cell.is_empty()), "{row}");
        assert!(row.len() <= 600, "a paragraph: {row}");
    }

    for section in text.split("\n##").skip(1) {
        let paragraphs: Vec<&str> = section.split("\n\n").collect();
        assert!(
            paragraphs.len() >= 2 && paragraphs[1].ends_with('.'),
            "{section}"
        );
    }
}

#[test]
fn types_and_defaults_are_those_of_the_structs() {
    let text = tables();
    for row in [
        "| `interval_ms` | integer, 10 to 60000 | `500` | Time between probes",
        "| `filter_when_frozen` | boolean | `true` |",
        "| `when_all_down` | `\"last\"`, `\"empty\"` | `\"last\"` |",
        "| `mesh` | `ip:port` | required |",
        "| `exempt` | CIDR list | `[\"127.0.0.0/8\", \"::1/128\"]` |",
        "| `actual_thresholds` | list of integers, 1 to 1000 | `[50, 80, 100]` |",
        "| `expect` | table of lists | required |",
        "| `zone` | string | `\"regionmesh.test\"` |",
        "| `ca_file` | string | none |",
        "| `latency_ms` | number | `150.0` |",
        "`\"mesh\"`, `{ region = \"…\" }`, `{ model = \"…\" }`, `{ tag = { key = \"…\", value = \
            \"…\" } }` | `\"mesh\"` |",
    ] {
        assert!(text.contains(row), "{row}\n{text}");
    }

    for title in [
        "## [health]",
        "### [health.gray]",
        "## [[regions]]",
        "### [[cost.budgets]]",
    ] {
        assert!(text.contains(&format!("\n{title}\n")), "{title}");
    }
}
