#![allow(clippy::unwrap_used)]

use super::*;
use regionmesh_protocol::clock::HybridTime;

fn held(version: &str, wall_ms: u64) -> VersionSummary {
    VersionSummary {
        model: MODEL.parse().unwrap(),
        version: version.parse().unwrap(),
        content: Digest::of(version.as_bytes()),
        size: 1,
        published: HybridTime {
            wall_ms,
            counter: 0,
        },
        origin: "a".parse().unwrap(),
    }
}

#[test]
fn the_newest_document_fills_its_slot_and_others_are_superseded() {
    let slot = Slot::new(Kind::Bill, "2026-09".parse().unwrap(), "AWS 1");
    let other = Slot::new(Kind::Bill, "2026-10".parse().unwrap(), "AWS 1");
    let mut foreign = held(&format!("{slot}.9"), 9);

    foreign.model = "regionmesh.other".parse().unwrap();
    let versions = vec![
        held(&format!("{slot}.1"), 5),
        held(&format!("{slot}.2"), 7),
        held(&format!("{slot}.3"), 6),
        held(&format!("{other}.4"), 1),
        held("unknown.all.5", 1),
        foreign,
    ];

    let catalogue = Catalogue {
        versions: versions.clone(),
        ..Catalogue::default()
    };
    let (newest, superseded) = sort(&catalogue);

    assert_eq!(
        newest,
        BTreeMap::from([(slot, &versions[1]), (other, &versions[3])])
    );

    assert_eq!(superseded, [&versions[0], &versions[2]]);
}
