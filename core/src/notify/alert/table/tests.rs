use super::*;
use std::collections::BTreeSet;

#[test]
fn a_condition_has_one_name() {
    let rows = rows();
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len());
    assert!(names.iter().all(|name| name.starts_with("RegionMesh")));
}

#[test]
fn every_condition_of_the_mesh_has_its_own_row() {
    for alert in MeshAlert::ALL {
        assert_eq!(alert.name(), format!("RegionMesh{}", alert.as_ref()));
    }
}
