//! What `up` prints, and its command line.

use super::{UpCommand, front_door_addresses, table};
use clap::Parser;
use regionmesh::local_mesh::layout::{FIRST_ADDRESS, Layout, Ports, fast_recovery};
use regionmesh_core::planning::Strategy;
use std::path::Path;

#[test]
fn the_table_names_every_agent_and_the_steps_fit_the_mesh() {
    let layout = Layout {
        domain: "regionmesh.test".parse().unwrap(),
        regions: regionmesh::local_mesh::default_regions().unwrap(),
        agents_per_region: 1,
        data_dir: Path::new("/d").into(),
        strategy: Strategy::Weighted,
        recovery: fast_recovery(),
        ports: Ports::default(),
        settings: toml::Table::new(),
        base: FIRST_ADDRESS,
    };
    let agents = layout.agents().unwrap();
    let text = table::agents(&agents, &[Some(17), None, None]);

    assert_eq!(text.lines().count(), 4);
    assert!(
        text.contains("127.0.0.13:8080") && text.contains("17"),
        "{text}"
    );

    let front_door = ["127.0.0.1:8080".parse().unwrap()];
    let steps = table::NextSteps {
        layout: &layout,
        agents: &agents,
        pids: &[Some(17)],
        front_door: &front_door,
        client_file: Path::new("/d/client.json"),
        program: "regionmesh",
        options: " -x",
        has_sample: true,
    };

    let steps = steps.render();
    let dig = "dig @127.0.0.11 -p 5300 serving.regionmesh.test A";
    for part in [
        "curl -i http://127.0.0.1:8080/",
        "curl http://127.0.0.1:8080/v2/models/iris/infer -d '{",
        dig,
        "kill -9 17",
        "regionmesh status --watch -x ",
        "all its traffic again 8 s later",
    ] {
        assert!(steps.contains(part), "{part:?} is missing in:\n{steps}");
    }
}

#[test]
fn the_command_line_is_parsed() {
    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        up: UpCommand,
    }

    let line = Line::try_parse_from([
        "up",
        "--regions",
        "a,b",
        "--model",
        "m=/x",
        "--strategy",
        "active-passive",
    ])
    .unwrap();

    assert_eq!(line.up.regions.unwrap().len(), 2);
    assert_eq!(line.up.models[0].name.as_str(), "m");
    for bad in [
        ["up", "--regions", "A_b"],
        ["up", "--model", "../x=/y"],
        ["up", "--model", "name"],
        ["up", "--base", "10.1.2.3"],
        ["up", "--base", "8.8.8.8"],
    ] {
        assert!(Line::try_parse_from(bad).is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn localhost_means_both_of_its_addresses() {
    let found = front_door_addresses("localhost:8080").await.unwrap();
    assert_eq!(
        found.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["127.0.0.1:8080", "[::1]:8080"]
    );

    assert!(
        front_door_addresses("8080").await.is_err()
            && front_door_addresses("localhost:x").await.is_err()
    );
}
