use super::*;
use prometheus::{register_histogram_vec_with_registry, register_int_gauge_with_registry};

#[test]
fn a_metric_is_described_before_its_first_series() {
    let registry = Registry::new();
    let duration = register_histogram_vec_with_registry!(
        "b_seconds",
        "Duration.",
        &["region", "peer"],
        registry
    )
    .unwrap();
    register_int_gauge_with_registry!("a", "Number of things.", registry).unwrap();

    let description = |name: &str, kind, labels: &[&str], help: &str| Description {
        name: name.into(),
        kind,
        labels: labels.iter().map(|label| (*label).into()).collect(),
        help: help.into(),
    };
    let expected = [
        description("a", "gauge", &[], "Number of things."),
        description("b_seconds", "histogram", &["region", "peer"], "Duration."),
    ];

    assert_eq!(registry.descriptions(), expected);
    assert_eq!(registry.gather().len(), 1);

    duration.with_label_values(&["x", "y"]).observe(1.0);
    assert_eq!(registry.descriptions(), expected);
    assert!(render(&registry).unwrap().contains("b_seconds_count"));
}

#[test]
fn a_metric_is_registered_and_described_once() {
    let registry = Registry::new();
    register_int_gauge_with_registry!("a", "Number of things.", registry).unwrap();

    assert!(register_int_gauge_with_registry!("a", "Number of things.", registry).is_err());
    assert_eq!(registry.descriptions().len(), 1);
}
