//! What preparing a mesh leaves in its data directory, and which directories it refuses.

use super::fixture::{SLEEPER, options};
use crate::{
    config::Config,
    local_mesh::{LocalMesh, LocalMeshError, LocalMeshOptions},
};
use regionmesh_protocol::identity::RegionName;
use std::path::Path;

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

    let own_pid = std::process::id().to_string();
    assert!(
        matches!(&error, LocalMeshError::Locked { pid, .. } if *pid == own_pid),
        "{error}"
    );

    drop(mesh);
    other_meshes_are_refused(&data_dir).await;
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
        Err(LocalMeshError::DataDirectory { .. })
    ));

    let foreign = directory.path().join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("thesis.tex"), "").unwrap();
    assert!(matches!(
        LocalMesh::prepare(options(&foreign, SLEEPER)).await,
        Err(LocalMeshError::DataDirectory { .. })
    ));

    assert_eq!(
        std::fs::read_dir(&foreign).unwrap().count(),
        1,
        "and is left as it was"
    );
}

async fn other_meshes_are_refused(data_dir: &Path) {
    let other: Vec<RegionName> = vec!["elsewhere".parse().unwrap()];
    let changed = LocalMeshOptions {
        regions: Some(other),
        ..options(data_dir, SLEEPER)
    };
    let error = LocalMesh::prepare(changed).await.unwrap_err().to_string();

    assert!(error.contains("us-west-2,eu-west-1,ap-south-1"), "{error}");
    let renamed = LocalMeshOptions {
        domain: Some("other.test".parse().unwrap()),
        ..options(data_dir, SLEEPER)
    };

    assert!(matches!(
        LocalMesh::prepare(renamed).await,
        Err(LocalMeshError::Options(_))
    ));
}
