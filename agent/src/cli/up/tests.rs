//! Laws of addresses and configurations, then whole meshes of stand-in processes.

use super::{
    UpCommand, checks,
    children::{ChildState, Program, Restart},
    error::UpError,
    front_door_addresses,
    layout::{FIRST_ADDRESS, Layout, Ports, fast_recovery},
    local_mesh::{LocalMesh, LocalMeshOptions, default_regions},
    process, table,
};
use crate::config::Config;
use clap::Parser;
use proptest::prelude::*;
use regionmesh_core::planning::Strategy as TrafficStrategy;
use regionmesh_protocol::identity::RegionName;
use std::{collections::BTreeSet, path::Path, time::Duration};
use tokio::time::Instant;

fn layout(regions: usize, agents_per_region: u8, data_dir: &Path) -> Layout {
    Layout {
        domain: "regionmesh.test".parse().unwrap(),
        regions: (0..regions)
            .map(|index| format!("r{index}").parse().unwrap())
            .collect(),
        agents_per_region,
        data_dir: data_dir.into(),
        strategy: TrafficStrategy::Weighted,
        recovery: fast_recovery(),
        ports: Ports::default(),
        settings: toml::Table::new(),
        base: FIRST_ADDRESS,
    }
}

proptest! {
    #[test]
    fn no_two_agents_share_an_address_and_every_configuration_reads_back(
        regions in 1..=32usize,
        agents in 1..=16u8,
    ) {
        let layout = layout(regions, agents, Path::new("/a dir/with % and ü"));
        prop_assume!(layout.faults().is_empty());

        let all = layout.agents().unwrap();
        prop_assert_eq!(
            all.iter()
                .map(|agent| agent.ip)
                .collect::<BTreeSet<_>>()
                .len(),
            regions * usize::from(agents)
        );

        prop_assert!(all.iter().all(|agent| agent.ip.is_loopback()));
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("agent.toml");
        let tls = || regionmesh_mesh::TlsConfig {
            ca: "/ca".into(),
            certificate: "/c".into(),
            key: "/k".into(),
        };

        for agent in [&all[0], &all[all.len() - 1]] {
            let config = layout.config(agent, tls());
            std::fs::write(&file, toml::to_string(&config).unwrap()).unwrap();

            let read = Config::load(&file).unwrap();
            prop_assert_eq!(
                toml::to_string(&read).unwrap(),
                toml::to_string(&config).unwrap()
            );

            prop_assert_eq!(read.id(), agent.id.clone());
            prop_assert_eq!(
                read.witness.is_some(),
                regions % 2 == 0,
                "an even number needs a \
                witness"
            );

            prop_assert_eq!(read.local_peers.len(), usize::from(agents) - 1);
            prop_assert_eq!(read.regions[0].dns_addresses().len(), usize::from(agents));
        }
    }
}

#[test]
fn addresses_follow_the_documented_rule() {
    let agents = layout(3, 2, Path::new("/d")).agents().unwrap();
    let ips: Vec<String> = agents.iter().map(|agent| agent.ip.to_string()).collect();
    assert_eq!(
        ips,
        [
            "127.0.0.11",
            "127.0.1.11",
            "127.0.0.12",
            "127.0.1.12",
            "127.0.0.13",
            "127.0.1.13"
        ]
    );

    assert_eq!(agents[0].api_url(), "http://127.0.0.11:9080");
    let elsewhere = Layout {
        base: "10.77.5.250".parse().unwrap(),
        ..layout(3, 2, Path::new("/d"))
    };

    assert_eq!(elsewhere.agents().unwrap()[5].ip.to_string(), "10.77.6.252");
    assert!(elsewhere.faults().is_empty());
    assert!(
        !Layout {
            base: "10.77.5.253".parse().unwrap(),
            ..elsewhere
        }
        .faults()
        .is_empty(),
        "no addresses left"
    );
}

#[test]
fn a_launcher_runs_the_same_command() {
    let program = Program {
        executable: "/bin/agent".into(),
        arguments: vec!["--config".into()],
    };
    let launched = program.behind(&["ip".into(), "netns".into()]);

    assert_eq!(launched.executable, Path::new("ip"));
    assert_eq!(launched.arguments, ["netns", "/bin/agent", "--config"]);
}

#[test]
fn too_many_doubled_and_reserved_regions_are_refused() {
    let fails = |layout: Layout| !layout.faults().is_empty();
    let path = Path::new("/d");
    assert!(fails(layout(0, 1, path)) && fails(layout(33, 1, path)) && fails(layout(1, 0, path)));
    assert!(fails(layout(1, 17, path)) && fails(layout(32, 16, path)));

    let mut doubled = layout(2, 1, path);
    doubled.regions[1] = doubled.regions[0].clone();
    assert!(fails(doubled));

    let mut reserved = layout(2, 1, path);
    reserved.regions[1] = "witness".parse().unwrap();
    assert!(fails(reserved));
}

#[test]
fn a_path_becomes_a_url_without_unsafe_characters() {
    let layout = layout(2, 1, Path::new("/a b/%"));
    let agent = &layout.agents().unwrap()[0];
    let tls = regionmesh_mesh::TlsConfig {
        ca: "/ca".into(),
        certificate: "/c".into(),
        key: "/k".into(),
    };
    let config = layout.config(agent, tls);

    assert_eq!(config.store.url, "file:///a%20b/%25/regions/r0");
    assert_eq!(config.witness.unwrap().url, "file:///a%20b/%25/witness");
}

#[test]
fn the_table_names_every_agent_and_the_steps_fit_the_mesh() {
    let layout = layout(3, 1, Path::new("/d"));
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
fn the_command_line_is_understood() {
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

/// A mesh whose agents are a shell script instead.
fn options(data_dir: &Path, script: &str) -> LocalMeshOptions {
    LocalMeshOptions {
        regions: Some(default_regions().unwrap()),
        ports: Ports {
            mesh: 0,
            dns: 0,
            api: 0,
            serving: 0,
        },
        program: Program {
            executable: "/bin/sh".into(),
            arguments: ["-c".into(), script.into()].to_vec(),
        },
        restart: Restart::Never,
        ready_timeout: Duration::from_secs(5),
        ..LocalMeshOptions::new(data_dir).unwrap()
    }
}

const SLEEPER: &str = "trap 'exit 0' TERM; echo started $0; while :; do sleep 0.05; done";

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_prepared_mesh_has_certificates_token_and_client_file_and_keeps_them() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("mesh");
    let mesh = LocalMesh::prepare(options(&data_dir, SLEEPER))
        .await
        .unwrap();

    assert!(!mesh.is_continued());
    let configs: Vec<Config> = mesh
        .agents()
        .iter()
        .map(|agent| Config::load(&agent.config_file()).unwrap())
        .collect();
    let first = std::fs::read(&configs[0].tls.certificate).unwrap();
    let token = std::fs::read_to_string(mesh.layout().token_file()).unwrap();

    assert_eq!(token.trim().len(), 64);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(mesh.layout().token_file())
            .unwrap()
            .permissions(),
    );

    assert_eq!(mode & 0o777, 0o600);
    let client: serde_json::Value =
        serde_json::from_slice(&std::fs::read(mesh.client_file()).unwrap()).unwrap();
    assert_eq!(client["agents"].as_array().unwrap().len(), 3);
    drop(mesh);

    let again = LocalMesh::prepare(LocalMeshOptions {
        regions: None,
        ..options(&data_dir, SLEEPER)
    })
    .await
    .unwrap();

    assert!(again.is_continued());
    assert_eq!(std::fs::read(&configs[0].tls.certificate).unwrap(), first);
    assert_eq!(
        std::fs::read_to_string(again.layout().token_file()).unwrap(),
        token
    );
}

#[tokio::test]
async fn a_certificate_near_its_end_is_replaced_by_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("mesh");
    let mesh = LocalMesh::prepare(options(&data_dir, SLEEPER))
        .await
        .unwrap();
    let agent = mesh.agents()[0].clone();
    let tls = Config::load(&agent.config_file()).unwrap().tls;
    let authority = data_dir.join("ca");
    let short = regionmesh_mesh::issue_certificate(
        &authority,
        &agent.id,
        10,
        &directory.path().join("short"),
    )
    .unwrap();

    std::fs::copy(&short.certificate, &tls.certificate).unwrap();
    std::fs::copy(&short.key, &tls.key).unwrap();
    drop(mesh);
    LocalMesh::prepare(options(&data_dir, SLEEPER))
        .await
        .unwrap();

    let replaced = Config::load(&agent.config_file()).unwrap().tls;
    assert_ne!(
        std::fs::read(&replaced.certificate).unwrap(),
        std::fs::read(&short.certificate).unwrap()
    );

    assert_ne!(
        std::fs::read(&replaced.key).unwrap(),
        std::fs::read(&short.key).unwrap()
    );
}

#[tokio::test]
async fn a_data_directory_in_use_foreign_damaged_or_of_another_mesh_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("mesh");
    let mesh = LocalMesh::prepare(options(&data_dir, SLEEPER))
        .await
        .unwrap();
    let error = LocalMesh::prepare(options(&data_dir, SLEEPER))
        .await
        .unwrap_err();

    assert!(
        matches!(&error, UpError::Locked { pid, .. } if *pid == std::process::id().to_string()),
        "{error}"
    );

    drop(mesh);
    let other: Vec<RegionName> = vec!["elsewhere".parse().unwrap()];
    let changed = LocalMeshOptions {
        regions: Some(other),
        ..options(&data_dir, SLEEPER)
    };
    let error = LocalMesh::prepare(changed).await.unwrap_err().to_string();

    assert!(error.contains("us-west-2,eu-west-1,ap-south-1"), "{error}");
    let renamed = LocalMeshOptions {
        domain: Some("other.test".parse().unwrap()),
        ..options(&data_dir, SLEEPER)
    };

    assert!(matches!(
        LocalMesh::prepare(renamed).await,
        Err(UpError::Options(_))
    ));

    let more = LocalMeshOptions {
        agents_per_region: Some(2),
        ..options(&data_dir, SLEEPER)
    };

    assert_eq!(
        LocalMesh::prepare(more).await.unwrap().agents().len(),
        6,
        "agents may be added"
    );

    std::fs::write(data_dir.join("mesh.json"), "{").unwrap();
    let error = LocalMesh::prepare(options(&data_dir, SLEEPER))
        .await
        .unwrap_err()
        .to_string();

    assert!(error.contains("damaged"), "{error}");
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(
        LocalMesh::prepare(options(&file, SLEEPER)).await,
        Err(UpError::DataDirectory { .. })
    ));

    let foreign = directory.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("thesis.tex"), "").unwrap();
    assert!(matches!(
        LocalMesh::prepare(options(&foreign, SLEEPER)).await,
        Err(UpError::DataDirectory { .. })
    ));

    assert_eq!(
        std::fs::read_dir(&foreign).unwrap().count(),
        1,
        "and is left as it was"
    );
}

#[tokio::test]
async fn agents_are_killed_started_and_stopped_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = LocalMesh::prepare(options(&directory.path().join("mesh"), SLEEPER))
        .await
        .unwrap();
    let id = mesh.agents()[1].id.clone();
    let pid = mesh.start_agent(&id).await.unwrap();

    assert_eq!(mesh.start_agent(&id).await.unwrap(), pid, "it runs already");
    let log = mesh.agents()[1].log_file.clone();
    let starts = |count| {
        let log = log.clone();
        move || {
            std::fs::read_to_string(&log)
                .unwrap()
                .matches("started")
                .count()
                == count
        }
    };

    until("it has begun", starts(1)).await;
    assert!(process::command_line(pid).is_some());
    mesh.kill(&id).await.unwrap();
    assert_eq!(
        (mesh.state(&id).unwrap(), process::command_line(pid)),
        (ChildState::Stopped, None)
    );

    let second = mesh.start_agent(&id).await.unwrap();
    until("it has begun again", starts(2)).await;
    mesh.stop().await;
    assert_eq!(process::command_line(second), None);
    assert!(!mesh.agents()[1].pid_file().exists());
    assert!(mesh.kill(&"no/where".parse().unwrap()).await.is_err());
}

#[tokio::test]
async fn a_child_that_dies_is_reported_and_started_again() {
    let directory = tempfile::tempdir().unwrap();
    let pause = Duration::from_millis(10);
    let restart = Restart::BackOff {
        first: pause,
        longest: pause,
    };
    let options = LocalMeshOptions {
        restart,
        ..options(&directory.path().join("mesh"), SLEEPER)
    };
    let mut mesh = LocalMesh::prepare(options).await.unwrap();
    let mut events = mesh.events().unwrap();
    let id = mesh.agents()[0].id.clone();
    let pid = mesh.start_agent(&id).await.unwrap();

    process::kill(pid);
    let event = events.recv().await.unwrap();
    assert_eq!(
        (&event.agent, event.pid, event.restart_in),
        (&id, pid, Some(pause))
    );

    assert!(event.status.contains('9'), "{}", event.status);
    until(
        "it runs again",
        || matches!(mesh.state(&id).unwrap(), ChildState::Running { pid: now } if now != pid),
    )
    .await;

    mesh.stop().await;
}

#[tokio::test]
async fn a_child_that_ends_at_once_is_reported_with_its_last_words() {
    let directory = tempfile::tempdir().unwrap();
    let script = "echo no such certificate >&2; exit 3";
    let mesh = LocalMesh::prepare(options(&directory.path().join("mesh"), script))
        .await
        .unwrap();
    let error = mesh.start().await.unwrap_err();

    assert!(matches!(error, UpError::Ended(_)), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("exit status: 3") && text.contains("no such certificate"),
        "{text}"
    );
}

#[tokio::test]
async fn a_child_that_is_never_ready_is_reported_and_all_are_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let ready_timeout = Duration::from_millis(300);
    let options = LocalMeshOptions {
        ready_timeout,
        ..options(&directory.path().join("mesh"), SLEEPER)
    };
    let mesh = LocalMesh::prepare(options).await.unwrap();
    let error = mesh.start().await.unwrap_err();

    assert!(matches!(error, UpError::NotReady(_)), "{error}");
    for agent in mesh.agents() {
        assert_eq!(mesh.state(&agent.id).unwrap(), ChildState::Stopped);
    }
}

#[tokio::test]
async fn a_child_that_ignores_the_request_to_end_is_ended_by_force() {
    let directory = tempfile::tempdir().unwrap();
    let script = "trap '' TERM; echo started; while :; do sleep 0.05; done";
    let mesh = LocalMesh::prepare(options(&directory.path().join("mesh"), script))
        .await
        .unwrap();
    let agent = mesh.agents()[0].clone();
    let pid = mesh.start_agent(&agent.id).await.unwrap();

    until("it has begun", || {
        std::fs::read_to_string(&agent.log_file)
            .unwrap()
            .contains("started")
    })
    .await;

    mesh.stop().await;
    assert_eq!(process::command_line(pid), None);
}

#[tokio::test]
async fn children_die_with_the_mesh_that_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let mesh = LocalMesh::prepare(options(&directory.path().join("mesh"), SLEEPER))
        .await
        .unwrap();
    let pid = mesh.start_agent(&mesh.agents()[0].id).await.unwrap();

    drop(mesh);
    until("the child is gone", || process::command_line(pid).is_none()).await;
    assert!(
        checks::end_leftovers(directory.path())
            .await
            .unwrap()
            .is_empty()
    );
}
