//! Who votes in the register and gets traffic, changed on a mesh of real agents that loses leaders,
//! regions and slots.

use regionmesh::config::Config;
use regionmesh_client::MembersStatus;
use regionmesh_mesh::issue_certificate;
use regionmesh_protocol::identity::RegionName;
use regionmesh_tests::{
    api::Api,
    mesh::{Setup, TestMesh, binary},
    settle::one_leader,
    wait::{claim, seconds, until},
    watch::Watch,
};
use serde_json::Value;
use std::{cell::Cell, net::IpAddr, process::Output, time::Duration};
use tokio::process::Command;

/// How long anything may take that needs an election, a verdict or the fast ramp.
const PATIENCE: Duration = seconds(60);

/// The command line, against region `asked`'s agent.
async fn members(mesh: &TestMesh, asked: usize, arguments: &[&str]) -> Output {
    let agent = mesh.agent(asked).api_url();
    let token = mesh.layout().token_file();
    let mut command = Command::new(binary());

    command
        .args(["failover", "members"])
        .args(arguments)
        .args(["--agent", &agent, "--token-file"])
        .arg(token);

    command.env("REGIONMESH_BY", "tests");
    command
        .kill_on_drop(true)
        .output()
        .await
        .expect("the command line runs")
}

/// Orders a change until it is not refused for now; then it must be done. Where it is not known
/// what became of an order, since its leader died under it, a repetition may find it carried out.
async fn change(mesh: &TestMesh, asked: usize, arguments: &[&str]) {
    let is_unknown = Cell::new(false);
    let (code, said) = until(
        &format!("{arguments:?} is answered"),
        PATIENCE,
        async || {
            let output = members(mesh, asked, arguments).await;
            let said = String::from_utf8_lossy(&output.stderr).replace('\n', " ");
            is_unknown.set(
                is_unknown.get()
                    || said.contains("it may have been done, look before you repeat it"),
            );

            claim(output.status.code() != Some(3), || said.clone())?;
            Ok((output.status.code(), said))
        },
    )
    .await;

    let as_asked = match arguments {
        ["add", member, ..] => format!("{member} is a member of the register already"),
        [_, member, ..] => format!("{member} is not a member of the register"),
        [..] => panic!("a change of what? {arguments:?}"),
    };
    let was_done = is_unknown.get() && code == Some(1) && said.contains(&as_asked);

    assert!(
        code == Some(0) || was_done,
        "{arguments:?}: {code:?}: {said}"
    );
}

/// Orders a change that must be refused with exit code 1, for a reason that says `why`.
async fn refused(mesh: &TestMesh, asked: usize, arguments: &[&str], why: &str) {
    until(
        &format!("{arguments:?} is refused since {why}"),
        PATIENCE,
        async || {
            let output = members(mesh, asked, arguments).await;
            let code = output.status.code();
            let said = String::from_utf8_lossy(&output.stderr).replace('\n', " ");

            claim(code == Some(1) && said.contains(why), || {
                format!("{code:?}: {said}")
            })
        },
    )
    .await;
}

async fn list(api: &Api) -> Result<MembersStatus, String> {
    let (code, body) = api.get("/v1/failover/members").await?;
    claim(code == 200, || body.to_string())?;
    serde_json::from_value(body).map_err(|error| error.to_string())
}

/// Each of `asked` knows exactly these members, and all of their votes count.
async fn all_vote(mesh: &TestMesh, asked: &[usize], names: &[&str]) {
    for asked in asked {
        let api = mesh.api(*asked);
        until(
            &format!("{names:?} vote, as {} sees it", mesh.region(*asked)),
            PATIENCE,
            async || {
                let members = list(&api).await?.members;
                let voting = members
                    .iter()
                    .filter(|member| member.is_member && member.vote == "counts");
                let mut voting: Vec<_> = voting.map(|member| member.member.as_str()).collect();
                let mut names = names.to_vec();

                voting.sort_unstable();
                names.sort_unstable();
                claim(voting == names, || format!("{members:?}"))
            },
        )
        .await;
    }
}

/// The share of a region as agent `asked` knows it.
async fn shared(mesh: &TestMesh, asked: usize, name: &str, is_wanted: impl Fn(f64) -> bool) {
    let api = mesh.api(asked);
    until(
        &format!("the share of {name} as {} sees it", mesh.region(asked)),
        PATIENCE,
        async || {
            let region = api.region(name).await?;
            claim(is_wanted(region.share), || {
                format!("{} {}", region.share, region.standing)
            })
        },
    )
    .await;
}

/// Changes an agent's configuration, then restarts it.
async fn reconfigure(mesh: &TestMesh, index: usize, adjust: impl FnOnce(&mut Config)) {
    let file = mesh.agent(index).config_file();
    let mut config = Config::load(&file).unwrap();
    adjust(&mut config);
    std::fs::write(file, toml::to_string(&config).unwrap()).unwrap();
    mesh.kill_region(index).await;
    mesh.revive(index).await;
}

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
async fn a_region_is_added_one_removed_while_it_is_dead_one_renamed_and_one_that_lost_its_slots_votes_again()
 {
    let regions = ["us-west-2", "eu-west-1", "ap-south-1", "sa-east-1"];
    let mesh = TestMesh::prepare(Setup {
        adjust: Some(first_three),
        regions: &regions,
        ..Setup::default()
    })
    .await;
    let whole = Config::load(&mesh.agent(3).config_file()).unwrap().regions;
    let witness = Config::load(&mesh.agent(3).config_file()).unwrap().witness;

    for index in 0..3 {
        mesh.start_agent(&mesh.agent(index).id).await.unwrap();
    }

    for index in 0..3 {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        mesh.wait_until_ready(&mesh.agent(index).id, deadline)
            .await
            .unwrap();
    }

    all_vote(&mesh, &[0, 1, 2], &regions[..3]).await;
    for region in &regions[..3] {
        shared(&mesh, 0, region, |share| (share - 1.0 / 3.0).abs() < 0.01).await;
    }
    refused(
        &mesh,
        0,
        &["add", "sa-east-1"],
        "is not in the configuration of the leader",
    )
    .await;

    refused(&mesh, 0, &["remove", "nowhere"], "is not a member").await;
    refused(
        &mesh,
        0,
        &["remove", "us-west-2"],
        "of the traffic; drain it first",
    )
    .await;

    // The configuration says how a region is reached; the register says who takes part.
    for index in 0..3 {
        let whole = whole.clone();
        let witness = witness.clone();
        reconfigure(&mesh, index, |config| {
            (config.regions, config.witness) = (whole, witness)
        })
        .await;
    }

    mesh.start_agent(&mesh.agent(3).id).await.unwrap();
    let stranger = mesh.api(3);
    until(
        "the fourth knows the plan, and that it is not in it",
        PATIENCE,
        async || {
            let region = stranger.region("sa-east-1").await?;
            claim(
                region.standing == "not a member" && region.share == 0.0,
                || format!("{region:?}"),
            )
        },
    )
    .await;

    refused(
        &mesh,
        1,
        &["add", "sa-east-1"],
        "automatic failover is refused: 4 regions and no witness",
    )
    .await;

    change(&mesh, 1, &["add", "witness", "--by", "ann", "--why", "tie"]).await;
    all_vote(
        &mesh,
        &[0, 1, 2, 3],
        &["us-west-2", "eu-west-1", "ap-south-1", "witness"],
    )
    .await;

    // The leader dies in between.
    let (leader, _) = one_leader(&mesh.running_apis(), PATIENCE).await;
    let dead = mesh.region_of(&leader);

    mesh.kill_region(dead).await;
    let asked = [0, 1, 2].into_iter().find(|index| *index != dead).unwrap();
    change(
        &mesh,
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

    all_vote(&mesh, &[0, 1, 2, 3], &all).await;
    for region in &regions {
        shared(&mesh, asked, region, |share| (share - 0.25).abs() < 0.01).await;
    }

    // One is removed while it is dead; alive again it gets nothing, and has no say.
    mesh.kill_region(1).await;
    shared(&mesh, 0, "eu-west-1", |share| share == 0.0).await;
    change(
        &mesh,
        0,
        &["remove", "eu-west-1", "--by", "ann", "--why", "burnt down"],
    )
    .await;

    let rest = ["us-west-2", "ap-south-1", "sa-east-1", "witness"];
    all_vote(&mesh, &[0, 2, 3], &rest).await;
    mesh.revive(1).await;
    all_vote(&mesh, &[1], &rest).await;
    shared(&mesh, 0, "us-west-2", |share| {
        (share - 1.0 / 3.0).abs() < 0.01
    })
    .await;

    let removed = mesh.api(0).region("eu-west-1").await.unwrap();
    assert_eq!(
        (removed.share, removed.standing.as_str()),
        (0.0, "not a member")
    );

    // One is renamed: new configurations and a new certificate first, then one step. Its users
    // notice nothing.
    let old: RegionName = "ap-south-1".parse().unwrap();
    let new: RegionName = "ap-east-1".parse().unwrap();
    let renamed = |config: &mut Config| {
        config
            .regions
            .iter_mut()
            .filter(|region| region.name == old)
            .for_each(|region| region.name = new.clone());
    };

    reconfigure(&mesh, 0, renamed).await;
    let watch = Watch::start(mesh.agent(0).dns());
    for index in [3, 1] {
        reconfigure(&mesh, index, renamed).await;
    }

    let id = regionmesh_protocol::identity::AgentId {
        region: new.clone(),
        agent: mesh.agent(2).id.agent.clone(),
    };
    let authority = mesh.layout().data_dir.join("ca");
    let out = mesh.agent(2).directory.join("renamed");
    let issued = issue_certificate(&authority, &id, 1, &out).unwrap();

    reconfigure(&mesh, 2, |config| {
        renamed(config);
        config.region = new.clone();
        (config.tls.certificate, config.tls.key, config.tls.ca) =
            (issued.certificate, issued.key, issued.ca);
    })
    .await;

    refused(
        &mesh,
        0,
        &["rename", "nowhere", "ap-east-1"],
        "is not a member",
    )
    .await;

    change(
        &mesh,
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

    let rest = ["us-west-2", "ap-east-1", "sa-east-1", "witness"];
    all_vote(&mesh, &[0, 1, 2, 3], &rest).await;
    for asked in [0, 2] {
        shared(&mesh, asked, "ap-east-1", |share| {
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

    // A rule of the bucket deletes a region's slots: another acceptor begins there, and votes once
    // it has joined.
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

    let before = until("an acceptor votes for sa-east-1", PATIENCE, &acceptor).await;
    let slots = mesh
        .layout()
        .data_dir
        .join("regions/sa-east-1/register/acc");

    std::fs::remove_dir_all(&slots).unwrap();
    until(
        "another acceptor votes for the region that lost its slots",
        PATIENCE,
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
    all_vote(&mesh, &[0, 1, 2, 3], &rest).await;

    let log = std::fs::read_to_string(&mesh.agent(3).log_file).unwrap();
    assert!(
        log.contains("slots of the register were deleted"),
        "nothing was said of the loss"
    );

    for entry in std::fs::read_dir(mesh.layout().data_dir.join("regions")).unwrap() {
        let slots = entry.unwrap().path().join("register/acc");
        until(
            &format!("two slots in {}", slots.display()),
            PATIENCE,
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

    mesh.assert_all_run();
}

pub(super) fn no_witness(config: &mut Config) {
    config.witness = None;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_regions_fail_over_by_themselves_only_with_a_witness_and_say_so() {
    let regions = ["eu-west-1", "us-east-1"];
    let setup = Setup {
        adjust: Some(no_witness),
        regions: &regions,
        ..Setup::default()
    };
    let mesh = TestMesh::start_with(setup).await;

    all_vote(&mesh, &[0, 1], &regions).await;
    for api in mesh.running_apis() {
        until("automatic failover is refused", PATIENCE, async || {
            let (_, body) = api.get("/v1/failover/status").await?;
            let why = body["automatic_refused"].as_str().ok_or("it is not")?;
            claim(why.contains("2 regions and no witness"), || why.into())?;

            let metric = api
                .metric("regionmesh_failover_automatic_refused", &[])
                .await?;
            claim(metric == 1.0, || format!("{metric}"))
        })
        .await;
    }

    let (_, told) = mesh
        .api(0)
        .get("/v1/failover/explain/us-east-1")
        .await
        .unwrap();

    assert!(
        told["guards"].to_string().contains("configure [witness]"),
        "{told}"
    );

    for region in &regions {
        shared(&mesh, 0, region, |share| (share - 0.5).abs() < 0.01).await;
    }

    // What an operator orders is done, as long as both can be asked.
    let order = async |what: &str| -> Value {
        let api = mesh.api(0);
        let path = format!("/v1/failover/{what}");

        // No cool-down ends where automation is refused.
        let body = serde_json::json!({ "region": "us-east-1", "by": "ann", "why": "test", "immediate": true });
        until(&format!("{what} is answered"), PATIENCE, async || {
            let (code, answer) = api.post(&path, &body).await?;
            claim(code == 200, || answer.to_string())?;
            Ok(answer)
        })
        .await
    };

    order("drain").await;
    shared(&mesh, 1, "us-east-1", |share| share == 0.0).await;
    order("promote").await;
    shared(&mesh, 1, "us-east-1", |share| share == 1.0).await;
    order("restore").await;
    shared(&mesh, 1, "us-east-1", |share| (share - 0.5).abs() < 0.01).await;

    // With one dead nobody decides anything, and nothing moves.
    let before = mesh.api(0).plan_seq().await.unwrap();
    mesh.kill_region(1).await;

    let api = mesh.api(0);
    until(
        "the verdict is failed and nobody leads",
        PATIENCE,
        async || {
            let region = api.region("us-east-1").await?;
            let leader = api.status().await?.leader;
            claim(
                region.verdict.as_str() == "failed" && leader.is_none(),
                || format!("{} {leader:?}", region.verdict),
            )
        },
    )
    .await;

    let output = members(&mesh, 0, &["remove", "us-east-1", "--force", "--yes"]).await;
    assert_eq!(
        output.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    assert_eq!(mesh.api(0).plan_seq().await.unwrap(), before);

    // The witness: into every configuration, then into the register.
    mesh.revive(1).await;
    for index in 0..2 {
        let tls = Config::load(&mesh.agent(index).config_file()).unwrap().tls;
        let witness = mesh.layout().config(mesh.agent(index), tls).witness;
        reconfigure(&mesh, index, |config| config.witness = witness).await;
    }

    change(&mesh, 0, &["add", "witness"]).await;
    all_vote(&mesh, &[0, 1], &["eu-west-1", "us-east-1", "witness"]).await;

    let (leader, _) = one_leader(&mesh.running_apis(), PATIENCE).await;
    let dead = mesh.region_of(&leader);
    for region in &regions {
        shared(&mesh, 0, region, |share| share > 0.0).await;
    }
    mesh.kill_region(dead).await;
    shared(&mesh, 1 - dead, regions[dead], |share| share == 0.0).await;
}
