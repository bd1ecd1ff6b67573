//! Who votes in the register and gets traffic, changed on a mesh of real agents that loses leaders,
//! regions and slots.

mod changes;

use regionmesh::config::Config;
use regionmesh_client::MembersStatus;
use regionmesh_tests::{
    agents::configure_agent,
    api::Api,
    command::CommandOutput,
    converge::{one_leader, until_share},
    mesh::{Setup, TestMesh},
    wait::{claim, seconds, until},
};
use serde_json::Value;
use std::{cell::Cell, time::Duration};

/// Timeout for anything that needs an election, a verdict or the fast ramp.
const TIMEOUT: Duration = seconds(60);

/// `regionmesh failover members`, against region `asked`'s agent.
async fn members(mesh: &TestMesh, asked: usize, arguments: &[&str]) -> CommandOutput {
    mesh.cli_at(asked, &[&["failover", "members"], arguments].concat())
        .await
}

/// Orders a change until it is not refused for now; then it must be done. If the outcome of an
/// order is unknown because its leader died, a retry may find it carried out.
async fn change(mesh: &TestMesh, asked: usize, arguments: &[&str]) {
    let is_unknown = Cell::new(false);
    let (code, said) = until(&format!("{arguments:?} is answered"), TIMEOUT, async || {
        let output = members(mesh, asked, arguments).await;
        let said = output.stderr.replace('\n', " ");
        is_unknown.set(
            is_unknown.get()
                || said.contains("the change may have been applied. Check before you retry"),
        );

        claim(output.code != Some(3), || said.clone())?;
        Ok((output.code, said))
    })
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
        TIMEOUT,
        async || {
            let output = members(mesh, asked, arguments).await;
            let code = output.code;
            let said = output.stderr.replace('\n', " ");

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
            TIMEOUT,
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

/// Waits until region `asked`'s agent gives a region a wanted share.
async fn shared(mesh: &TestMesh, asked: usize, name: &str, is_wanted: impl Fn(f64) -> bool) {
    until_share(&[mesh.api(asked)], name, TIMEOUT, is_wanted).await;
}

/// Changes an agent's configuration, then restarts it.
async fn reconfigure(mesh: &TestMesh, index: usize, adjust: impl FnOnce(&mut Config)) {
    configure_agent(mesh.agent(index), adjust);
    mesh.kill_region(index).await;
    mesh.revive(index).await;
}

pub(super) fn no_witness(config: &mut Config) {
    config.witness = None;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_regions_fail_over_automatically_only_with_a_witness() {
    let regions = ["eu-west-1", "us-east-1"];
    let setup = Setup {
        adjust: Some(no_witness),
        regions: &regions,
        ..Setup::default()
    };
    let mesh = TestMesh::start_with(setup).await;

    until_automatic_failover_is_refused(&mesh, &regions).await;

    for region in &regions {
        shared(&mesh, 0, region, |share| (share - 0.5).abs() < 0.01).await;
    }

    assert_orders_are_carried_out(&mesh).await;

    assert_one_dead_stops_changes(&mesh).await;

    // The witness: into every configuration, then into the register.
    mesh.revive(1).await;
    for index in 0..2 {
        let tls = Config::load(&mesh.agent(index).config_file()).unwrap().tls;
        let witness = mesh.layout().config(mesh.agent(index), tls).witness;
        reconfigure(&mesh, index, |config| config.witness = witness).await;
    }

    change(&mesh, 0, &["add", "witness"]).await;
    all_vote(&mesh, &[0, 1], &["eu-west-1", "us-east-1", "witness"]).await;

    let (leader, _) = one_leader(&mesh.running_apis(), TIMEOUT).await;
    let dead = mesh.region_of(&leader);
    for region in &regions {
        shared(&mesh, 0, region, |share| share > 0.0).await;
    }
    mesh.kill_region(dead).await;
    shared(&mesh, 1 - dead, regions[dead], |share| share == 0.0).await;
}

async fn until_automatic_failover_is_refused(mesh: &TestMesh, regions: &[&str]) {
    all_vote(mesh, &[0, 1], regions).await;
    for api in mesh.running_apis() {
        until("automatic failover is refused", TIMEOUT, async || {
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

    let (_, explanation) = mesh
        .api(0)
        .get("/v1/failover/explain/us-east-1")
        .await
        .unwrap();

    assert!(
        explanation["guards"]
            .to_string()
            .contains("configure [witness]"),
        "{explanation}"
    );
}

/// Orders are carried out as long as both can be reached.
async fn assert_orders_are_carried_out(mesh: &TestMesh) {
    let order = async |what: &str| -> Value {
        let api = mesh.api(0);
        let path = format!("/v1/failover/{what}");

        // No cool-down ends where automation is refused.
        let body = serde_json::json!({
            "region": "us-east-1",
            "by": "ann",
            "why": "test",
            "immediate": true,
        });
        until(&format!("{what} is answered"), TIMEOUT, async || {
            let (code, answer) = api.post(&path, &body).await?;
            claim(code == 200, || answer.to_string())?;
            Ok(answer)
        })
        .await
    };

    order("drain").await;
    shared(mesh, 1, "us-east-1", |share| share == 0.0).await;
    order("promote").await;
    shared(mesh, 1, "us-east-1", |share| share == 1.0).await;
    order("restore").await;
    shared(mesh, 1, "us-east-1", |share| (share - 0.5).abs() < 0.01).await;
}

/// With one dead there is no majority to decide, and nothing moves.
async fn assert_one_dead_stops_changes(mesh: &TestMesh) {
    let before = mesh.api(0).plan_seq().await.unwrap();
    mesh.kill_region(1).await;

    let api = mesh.api(0);
    until(
        "the verdict is failed and there is no leader",
        TIMEOUT,
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

    let output = members(mesh, 0, &["remove", "us-east-1", "--force", "--yes"]).await;
    assert_eq!(output.code, Some(3), "{}", output.stderr);

    assert_eq!(mesh.api(0).plan_seq().await.unwrap(), before);
}
