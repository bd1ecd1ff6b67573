#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::schema;

#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)]
struct Document {
    name: String,
    listen: Listen,
    #[schemars(default)]
    limits: Limits,
    parts: Vec<Part>,
    kind: Option<Kind>,
}
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)]
struct Listen {
    #[schemars(extend("format" = "socket-address"))]
    api: SocketAddr,
    #[schemars(extend("format" = "socket-address"))]
    dns: SocketAddr,
}
#[derive(Default, schemars::JsonSchema)]
#[schemars(deny_unknown_fields, default)]
#[allow(dead_code)]
struct Limits {
    most: u16,
    is_on: bool,
    #[schemars(range(min = 10, max = 20))]
    ratio: f64,
}
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code)]
struct Part {
    weight: u8,
    at: String,
}
#[derive(schemars::JsonSchema)]
#[schemars(rename_all = "kebab-case", deny_unknown_fields)]
#[allow(dead_code)]
enum Kind {
    /// All.
    Whole,
    Half,
    Tag {
        key: String,
    },
}

fn found(text: &str) -> Vec<String> {
    let schema = schema::of::<Document>();
    let faults = faults(&text.parse().unwrap(), Node(&schema));
    faults.iter().map(Fault::to_string).collect()
}

const GOOD: &str = r#"
        name = "n"
        listen = { api = "127.0.0.1:1", dns = "127.0.0.1:2" }
        parts = [{ weight = 1, at = "a" }]
    "#;

#[test]
fn a_good_document_has_no_faults() {
    assert_eq!(found(GOOD), [""; 0]);
    for kind in ["'whole'", "'half'", "{ tag = { key = 'k' } }"] {
        assert_eq!(found(&format!("{GOOD}\nkind = {kind}")), [""; 0]);
    }
}

#[test]
fn every_fault_is_reported_with_its_place() {
    let found = found(
        r#"
            nam = "n"
            parts = [
                { weight = 1000, at = "a" },
                { weight = 1, at = 7, colour = "red" },
                { weight = 2 },
            ]
            [listen]
            api = "here"
            port = 1
            [limits]
            most = "many"
            is_on = 3
            ratio = 20.5
            "#,
    );

    assert_eq!(
        found,
        [
            "limits.is_on: expected true or false, got 3",
            "limits.most: expected an integer, got \"many\"",
            "limits.ratio: 20.5 is not within 10 to 20",
            "listen.api: invalid socket address syntax: \"here\"",
            "listen: unknown field `port`, expected one of `api`, `dns`",
            "listen: missing field `dns`",
            "unknown field `nam`, expected one of `kind`, `limits`, `listen`, `name`, `parts`",
            "parts[0].weight: 1000 is not within 0 to 255",
            "parts[1].at: expected a string, got 7",
            "parts[1]: unknown field `colour`, expected one of `at`, `weight`",
            "parts[2]: missing field `at`",
            "missing field `name`",
        ]
    );
}

#[test]
fn a_variant_is_a_text_or_a_table() {
    const EXPECTED: &str = "expected one of \"half\", \"whole\", { tag = … }, got";

    let found = |kind: &str| found(&format!("{GOOD}\nkind = {kind}"));
    assert_eq!(found("'all'"), [format!("kind: {EXPECTED} \"all\"")]);
    assert_eq!(
        found("{ name = 'k' }"),
        [format!("kind: {EXPECTED} a table")]
    );
    assert_eq!(found("{ tag = {} }"), ["kind.tag: missing field `key`"]);
    assert_eq!(found("1"), [format!("kind: {EXPECTED} 1")]);
}

#[test]
fn what_follows_from_a_fault_is_not_reported_again() {
    assert_eq!(
        found("name = \"n\"\nparts = []"),
        ["missing field `listen`"]
    );
    assert_eq!(
        found("name = \"n\"\nparts = 7\nlisten = \"x\""),
        [
            "listen: expected a table, got \"x\"",
            "parts: expected an array, got 7"
        ]
    );
}

#[test]
fn numbers_are_finite() {
    let text = |number: &str| format!("{GOOD}\nlimits = {{ ratio = {number} }}");
    assert_eq!(found(&text("12")), [""; 0]);
    assert_eq!(
        found(&text("nan")),
        ["limits.ratio: expected a number, got nan"]
    );
}

#[test]
fn the_number_of_faults_is_limited() {
    let text: String = (0..1_000)
        .map(|number| format!("x{number} = 1\n"))
        .collect();
    assert_eq!(found(&text).len(), FAULTS_MAX);
}
