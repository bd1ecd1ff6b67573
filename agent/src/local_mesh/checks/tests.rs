use super::*;
use crate::local_mesh::layout::Ports;
use std::net::Ipv4Addr;

fn agent(ip: Ipv4Addr, port: u16) -> LocalAgent {
    LocalAgent {
        id: "eu-west-1/node-0".parse().unwrap(),
        ip,
        ports: Ports {
            mesh: 0,
            dns: 0,
            api: port,
            serving: 0,
        },
        directory: "/nowhere".into(),
        log_file: "/nowhere".into(),
    }
}

#[test]
fn a_port_in_use_is_named_with_its_purpose() {
    let other = TcpListener::bind("127.0.0.11:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let error = addresses(&[agent(Ipv4Addr::new(127, 0, 0, 11), port)], &[])
        .unwrap_err()
        .to_string();

    assert!(
        error.contains(&format!("127.0.0.11:{port}/tcp (API of eu-west-1/node-0)")),
        "{error}"
    );
}

#[test]
fn free_addresses_pass() {
    addresses(
        &[agent(Ipv4Addr::new(127, 0, 0, 12), 0)],
        &["127.0.0.1:0".parse().unwrap()],
    )
    .unwrap();
}

#[test]
fn a_missing_address_is_reported_with_the_command_that_adds_it() {
    // TEST-NET-3 (RFC 5737) is on no machine, as 127.0.0.11 is not on macOS.
    let error = addresses(&[agent(Ipv4Addr::new(203, 0, 113, 11), 0)], &[]).unwrap_err();
    assert!(
        matches!(error, LocalMeshError::NoLoopback { .. }),
        "{error}"
    );

    let mac = no_loopback(&["127.0.0.11".parse().unwrap()], false).to_string();
    assert!(
        mac.contains("sudo ifconfig lo0 alias 127.0.0.11 up"),
        "{mac}"
    );
}

#[tokio::test]
async fn an_unrelated_process_is_left_alone() {
    let data_dir = tempfile::tempdir().unwrap();
    let directory = data_dir.path().join("agents/eu-west-1.node-0");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("pid"), format!("{}\n", std::process::id())).unwrap();
    assert!(end_leftovers(data_dir.path()).await.unwrap().is_empty());
    assert!(!directory.join("pid").exists());
}

#[tokio::test]
async fn a_leftover_agent_is_stopped() {
    let data_dir = tempfile::tempdir().unwrap();
    let directory = data_dir.path().join("agents/eu-west-1.node-0");
    std::fs::create_dir_all(&directory).unwrap();

    let mut child = std::process::Command::new("sh")
        .args(["-c", "while :; do sleep 1; done"])
        .arg(directory.join("agent.toml"))
        .spawn()
        .unwrap();

    std::fs::write(directory.join("pid"), format!("{}\n", child.id())).unwrap();
    // The kernel shows a command line a moment after exec.
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while !is_ours(child.id(), &directory) {
        assert!(
            std::time::Instant::now() < deadline,
            "the child has no command line"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    let waiting = std::thread::spawn(move || child.wait().unwrap());
    assert_eq!(end_leftovers(data_dir.path()).await.unwrap().len(), 1);
    assert!(!waiting.join().unwrap().success());
}
