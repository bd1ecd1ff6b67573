use super::*;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_spiffe_id_reads_back_as_written(
        mesh in "[a-z][a-z0-9]{0,9}(\\.[a-z]{1,5}){0,2}",
        region in "[a-z0-9]{1,20}",
        agent in "[a-z0-9]{1,20}",
    ) {
        let id = AgentId {
            region: region.parse().unwrap(),
            agent: agent.parse().unwrap(),
        };
        let mesh: MeshName = mesh.parse().unwrap();

        prop_assert_eq!(parse_spiffe_id(&id.spiffe_id(&mesh)).unwrap(), (mesh, id));
    }

    #[test]
    fn arbitrary_text_never_panics(text: String) {
        let _ = (
            parse_spiffe_id(&text),
            text.parse::<RegionName>(),
            text.parse::<MeshName>(),
            text.parse::<AgentId>(),
        );
    }
}

#[test]
fn names_that_could_leave_a_path_or_a_label_are_refused() {
    for bad in [
        "",
        "..",
        "a/b",
        "A",
        "a_b",
        "-a",
        "a-",
        "a b",
        "é",
        &"x".repeat(64),
    ] {
        assert!(bad.parse::<RegionName>().is_err(), "{bad:?} was accepted");
    }
}

#[test]
fn other_spiffe_ids_are_refused() {
    for bad in [
        "https://m/region/r/agent/a",
        "spiffe://m/region/r/agent/a/x",
        "spiffe://m/agent/a/region/r",
        "spiffe:///region/r/agent/a",
        "spiffe://m/region//agent/a",
    ] {
        assert!(parse_spiffe_id(bad).is_err(), "{bad:?} was accepted");
    }
}

#[test]
fn deserialising_checks_the_name() {
    let bytes = crate::codec::encode("../x").unwrap();
    assert!(crate::codec::decode::<RegionName>(&bytes).is_err());
}
