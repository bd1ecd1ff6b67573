//! A region is added, one is removed, one is renamed, and one loses its slots.

use super::{TIMEOUT, all_vote, change, list, reconfigure, refused, shared};
use regionmesh::config::Config;
use regionmesh_mesh::issue_certificate;
use regionmesh_protocol::identity::RegionName;
use regionmesh_tests::{
    converge::one_leader,
    mesh::{Setup, TestMesh},
    wait::{claim, until},
    watch::Watch,
};
use std::net::IpAddr;

/// Three regions know nothing of the fourth and of its witness.
fn first_three(config: &mut Config) {
    if config.region.as_str() != "sa-east-1" {
        config.witness = None;
        config
            .regions
            .retain(|region| region.name.as_str() != "sa-east-1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_added_removed_while_dead_renamed_and_vote_again_after_losing_slots() {
    let regions = ["us-west-2", "eu-west-1", "ap-south-1", "sa-east-1"];
    let mesh = TestMesh::prepare(Setup {
        adjust: Some(first_three),
        regions: &regions,
        ..Setup::default()
    })
    .await;
    let fourth = Config::load(&mesh.agent(3).config_file()).unwrap();

    start_first_three(&mesh).await;

    assert_changes_without_ground_are_refused(&mesh, &regions).await;

    configure_the_fourth(&mesh, &fourth).await;

    change(&mesh, 1, &["add", "witness", "--by", "ann", "--why", "tie"]).await;
    all_vote(
        &mesh,
        &[0, 1, 2, 3],
        &["us-west-2", "eu-west-1", "ap-south-1", "witness"],
    )
    .await;

    add_while_the_leader_is_dead(&mesh, &regions).await;

    remove_while_it_is_dead(&mesh).await;

    // One is renamed: new configurations and a new certificate first, then one step. Its users
    // notice nothing.
    let watch = rename_in_configurations(&mesh).await;

    let rest = ["us-west-2", "ap-east-1", "sa-east-1", "witness"];
    rename_in_the_register(&mesh, &rest, watch).await;

    // A rule of the bucket deletes a region's slots: another acceptor begins there, and votes once
    // it has joined.
    lose_slots(&mesh, &rest).await;

    until_two_slots_are_left(&mesh).await;

    mesh.assert_all_run();
}

async fn start_first_three(mesh: &TestMesh) {
    for index in 0..3 {
        mesh.start_agent(&mesh.agent(index).id).await.unwrap();
    }

    for index in 0..3 {
        let deadline = tokio::time::Instant::now() + TIMEOUT;
        mesh.wait_until_ready(&mesh.agent(index).id, deadline)
            .await
            .unwrap();
    }
}

async fn assert_changes_without_ground_are_refused(mesh: &TestMesh, regions: &[&str]) {
    all_vote(mesh, &[0, 1, 2], &regions[..3]).await;
    for region in &regions[..3] {
        shared(mesh, 0, region, |share| (share - 1.0 / 3.0).abs() < 0.01).await;
    }
    refused(
        mesh,
        0,
        &["add", "sa-east-1"],
        "is not in the configuration of the leader",
    )
    .await;

    refused(mesh, 0, &["remove", "nowhere"], "is not a member").await;
    refused(
        mesh,
        0,
        &["remove", "us-west-2"],
        "of the traffic; drain it first",
    )
    .await;
}

/// The configuration says how a region is reached; the register says who takes part.
async fn configure_the_fourth(mesh: &TestMesh, fourth: &Config) {
    for index in 0..3 {
        let whole = fourth.regions.clone();
        let witness = fourth.witness.clone();
        reconfigure(mesh, index, |config| {
            config.regions = whole;
            config.witness = witness;
        })
        .await;
    }

    mesh.start_agent(&mesh.agent(3).id).await.unwrap();
    let fourth_api = mesh.api(3);
    until(
        "the fourth knows the plan, and that it is not in it",
        TIMEOUT,
        async || {
            let region = fourth_api.region("sa-east-1").await?;
            claim(
                region.traffic_state == "not a member" && region.share == 0.0,
                || format!("{region:?}"),
            )
        },
    )
    .await;

    refused(
        mesh,
        1,
        &["add", "sa-east-1"],
        "automatic failover is refused: 4 regions and no witness",
    )
    .await;
}

/// The leader dies between two additions.
async fn add_while_the_leader_is_dead(mesh: &TestMesh, regions: &[&str]) {
    let (leader, _) = one_leader(&mesh.running_apis(), TIMEOUT).await;
    let dead = mesh.region_of(&leader);

    mesh.kill_region(dead).await;
    let asked = [0, 1, 2].into_iter().find(|index| *index != dead).unwrap();
    change(
        mesh,
        asked,
        &["add", "sa-east-1", "--by", "ann", "--why", "growth"],
    )
    .await;

    mesh.revive(dead).await;
    let all = [
        "us-west-2",
        "eu-west-1",
        "ap-south-1",
        "sa-east-1",
        "witness",
    ];

    all_vote(mesh, &[0, 1, 2, 3], &all).await;
    for region in regions {
        shared(mesh, asked, region, |share| (share - 0.25).abs() < 0.01).await;
    }
}

/// One is removed while it is dead; once restarted it gets no traffic and has no vote.
async fn remove_while_it_is_dead(mesh: &TestMesh) {
    mesh.kill_region(1).await;
    shared(mesh, 0, "eu-west-1", |share| share == 0.0).await;
    change(
        mesh,
        0,
        &["remove", "eu-west-1", "--by", "ann", "--why", "burnt down"],
    )
    .await;

    let rest = ["us-west-2", "ap-south-1", "sa-east-1", "witness"];
    all_vote(mesh, &[0, 2, 3], &rest).await;
    mesh.revive(1).await;
    all_vote(mesh, &[1], &rest).await;
    shared(mesh, 0, "us-west-2", |share| {
        (share - 1.0 / 3.0).abs() < 0.01
    })
    .await;

    let removed = mesh.api(0).region("eu-west-1").await.unwrap();
    assert_eq!(
        (removed.share, removed.traffic_state.as_str()),
        (0.0, "not a member")
    );
}

/// New configurations and a new certificate. Returns a watch that began before them.
async fn rename_in_configurations(mesh: &TestMesh) -> Watch {
    let old: RegionName = "ap-south-1".parse().unwrap();
    let new: RegionName = "ap-east-1".parse().unwrap();
    let renamed = |config: &mut Config| {
        config
            .regions
            .iter_mut()
            .filter(|region| region.name == old)
            .for_each(|region| region.name = new.clone());
    };

    reconfigure(mesh, 0, renamed).await;
    let watch = Watch::start(mesh.agent(0).dns());
    for index in [3, 1] {
        reconfigure(mesh, index, renamed).await;
    }

    let id = regionmesh_protocol::identity::AgentId {
        region: new.clone(),
        agent: mesh.agent(2).id.agent.clone(),
    };
    let authority = mesh.layout().data_dir.join("ca");
    let out = mesh.agent(2).directory.join("renamed");
    let issued = issue_certificate(&authority, &id, 1, &out).unwrap();

    reconfigure(mesh, 2, |config| {
        renamed(config);
        config.region = new.clone();
        config.tls.certificate = issued.certificate;
        config.tls.key = issued.key;
        config.tls.ca = issued.ca;
    })
    .await;

    watch
}

async fn rename_in_the_register(mesh: &TestMesh, rest: &[&str], watch: Watch) {
    refused(
        mesh,
        0,
        &["rename", "nowhere", "ap-east-1"],
        "is not a member",
    )
    .await;

    change(
        mesh,
        0,
        &[
            "rename",
            "ap-south-1",
            "ap-east-1",
            "--by",
            "ann",
            "--why",
            "typing",
        ],
    )
    .await;

    all_vote(mesh, &[0, 1, 2, 3], rest).await;
    for asked in [0, 2] {
        shared(mesh, asked, "ap-east-1", |share| {
            (share - 1.0 / 3.0).abs() < 0.01
        })
        .await;
    }

    let begin = watch.now();
    watch.more(100).await;
    assert!(
        watch.since(begin).1.contains(&IpAddr::V4(mesh.agent(2).ip)),
        "the renamed region is not answered"
    );

    watch.finish_without_fault().await;
}

async fn lose_slots(mesh: &TestMesh, rest: &[&str]) {
    let acceptor = async || -> Result<String, String> {
        let members = list(&mesh.api(0)).await?.members;
        let member = members
            .into_iter()
            .find(|member| member.member.as_str() == "sa-east-1")
            .ok_or("no sa-east-1")?;

        member
            .acceptor
            .ok_or_else(|| format!("it has no vote: {}", member.vote))
    };

    let before = until("an acceptor votes for sa-east-1", TIMEOUT, &acceptor).await;
    let slots = mesh
        .layout()
        .data_dir
        .join("regions/sa-east-1/register/acc");

    std::fs::remove_dir_all(&slots).unwrap();
    until(
        "another acceptor votes for the region that lost its slots",
        TIMEOUT,
        async || {
            let now = acceptor().await?;
            claim(now != before, || format!("still {now}"))
        },
    )
    .await;

    let lost = mesh
        .api(3)
        .metric(
            "regionmesh_register_acceptor_begun_total",
            &["reason=\"lost\""],
        )
        .await
        .unwrap();

    assert!(lost >= 1.0, "{lost} losses counted");
    all_vote(mesh, &[0, 1, 2, 3], rest).await;

    let log = std::fs::read_to_string(&mesh.agent(3).log_file).unwrap();
    assert!(
        log.contains("slots of the register were deleted"),
        "the loss was not logged"
    );
}

async fn until_two_slots_are_left(mesh: &TestMesh) {
    for entry in std::fs::read_dir(mesh.layout().data_dir.join("regions")).unwrap() {
        let slots = entry.unwrap().path().join("register/acc");
        until(
            &format!("two slots in {}", slots.display()),
            TIMEOUT,
            async || {
                let names = std::fs::read_dir(&slots)
                    .map_err(|error| error.to_string())?
                    .flatten();

                // A local store's write that was killed leaves a file of another name, which is no
                // object.
                let count = names.filter(|entry| entry.file_name().len() == 10).count();
                claim(count <= 2, || format!("{count} slots"))
            },
        )
        .await;
    }
}
