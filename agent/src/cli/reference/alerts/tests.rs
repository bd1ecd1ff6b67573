use super::*;
use regionmesh_protocol::event::Severity;

#[test]
fn every_row_is_documented_forwarded_and_tested() {
    let table = table();
    let rules = rules();
    let tests = super::tests();

    for row in rows() {
        assert!(table.contains(&format!("[`{}`]", row.name)), "{}", row.name);
        assert!(
            rules.contains(&format!("alert: {}\n", row.name)),
            "{}",
            row.name
        );

        assert_eq!(
            tests.matches(&format!("alertname: {}\n", row.name)).count(),
            2,
            "{}",
            row.name
        );

        assert!(
            row.severity > Severity::Info,
            "{}: info alerts have no receiver",
            row.name
        );
    }
}
