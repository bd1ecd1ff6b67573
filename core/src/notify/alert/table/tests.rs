use super::*;
use std::collections::BTreeSet;

#[test]
fn a_condition_has_one_name() {
    let rows = rows();
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len());
    assert!(names.iter().all(|name| name.starts_with("RegionMesh")));
}
