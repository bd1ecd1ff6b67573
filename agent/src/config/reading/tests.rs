#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn the_sample_has_exactly_the_required_settings() {
    let schema = schema::of::<Config>();
    let sample: Table = SAMPLE.parse().unwrap();
    let required: BTreeSet<&str> = Node(&schema).required().collect();

    assert_eq!(
        sample.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        required
    );
    assert!(read(sample, Vec::new()).is_ok());
}

#[test]
fn a_check_of_an_unsound_table_is_left_out() {
    let with = |more: &str| {
        let document = format!("{more}\n{SAMPLE}").parse().unwrap();
        read(document, Vec::new()).unwrap_err()
    };

    // The strategy is unknown, so networks that only count with another one are no fault.
    let networks = "networks = [{ cidr = \"10.0.0.0/8\", regions = [\"x\"] }]";
    assert_eq!(
        with(&format!("traffic = {{ strategy = \"best\", {networks} }}")),
        [
            "traffic.strategy: expected one of \"weighted\", \"active-passive\", \"latency\", got \
            \"best\""
        ]
    );

    // Out of range, but readable: the rest of the table is checked.
    assert_eq!(
        with("dns = { ttl_s = 0, zone = \"\" }"),
        [
            "dns.ttl_s: 0 is not within 1 to 86400",
            "dns.zone: \"\" is not a domain name"
        ]
    );
}

#[test]
fn what_only_the_type_checks_is_a_fault_of_its_table() {
    let budget = "cost.budgets = [{ name = \"all\", amount = \"much\" }]\nlog.filter = \"a=loud\"";
    let document = format!("{budget}\n{SAMPLE}").parse().unwrap();
    let found = read(document, Vec::new()).unwrap_err();

    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("cost.budgets[0]"), "{found:#?}");
    assert!(found[1].starts_with("log.filter: \"a=loud\""), "{found:#?}");
}
