use super::*;

#[test]
fn percentiles_are_by_nearest_rank() {
    let times: Vec<Duration> = (1..=100).rev().map(Duration::from_secs).collect();
    for (percent, seconds) in [(1, 1), (50, 50), (99, 99), (100, 100)] {
        assert_eq!(
            percentile(&times, percent),
            Some(Duration::from_secs(seconds))
        );
    }

    assert_eq!(percentile(&times[..3], 99), Some(Duration::from_secs(100)));
    assert_eq!(percentile(&[], 99), None);
}

#[test]
fn a_goal_that_is_missed_or_not_measured_fails_the_report() {
    let mut report = Report::default();
    report.below("a", 1.0, 2.0, "s", "");
    report.at_least("b", 0.5, 0.5, "x", "");
    report.note("c", "whatever".into());
    assert!(report.holds());
    report.times("d", &[], Duration::from_secs(1));
    assert!(!report.holds());
    assert!(
        report
            .table()
            .contains("| d | nothing measured |  | MISS |"),
        "{}",
        report.table()
    );
}
