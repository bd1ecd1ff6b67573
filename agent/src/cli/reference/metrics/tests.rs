use super::*;

fn metrics() -> Vec<Description> {
    regionmesh::agent::descriptions().unwrap()
}

#[test]
fn every_metric_has_one_row() {
    let metrics = metrics();
    let text = tables(&metrics).unwrap();

    assert!(metrics.len() > 100, "{}", metrics.len());
    for metric in &metrics {
        let begin = format!("| `{}` | {} |", metric.name, metric.kind);
        assert_eq!(text.matches(&begin).count(), 1, "{begin}");
    }
}

#[test]
fn a_metric_without_a_section_is_refused() {
    let mut metrics = metrics();
    metrics[0].name = "regionmesh_other".into();

    assert!(tables(&metrics).is_err());
}

#[test]
fn names_and_helps_follow_the_conventions() {
    for Description {
        name, kind, help, ..
    } in metrics()
    {
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        assert!(kind != "histogram" || name.ends_with("_seconds"), "{name}");

        let is_sentence = help.ends_with('.') && !help.starts_with(char::is_lowercase);
        assert!(is_sentence, "{name}: {help}");
        assert!(!help.contains("  ") && help.len() <= 200, "{name}: {help}");
    }
}
