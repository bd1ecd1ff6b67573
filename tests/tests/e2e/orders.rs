//! Concurrent orders of operators: none replaces another's without `--force`, all agents list who
//! ordered what, and a mesh of one region has a leader again once its store is back.

mod authors;

use regionmesh_tests::{
    command::CommandOutput,
    converge::until_share,
    mesh::{Setup, TestMesh},
    wait::{claim, seconds, until},
};
use serde_json::{Value, json};
use std::path::PathBuf;

/// Repeats a command until it is answered: right after a start the leader may be out of reach yet.
async fn answered(mesh: &TestMesh, arguments: &[&str]) -> CommandOutput {
    until(
        &format!("{arguments:?} is answered"),
        seconds(20),
        async || {
            let output = mesh.cli(arguments).await;
            claim(output.code != Some(3), || output.stderr.clone())?;
            Ok(output)
        },
    )
    .await
}

async fn done(mesh: &TestMesh, arguments: &[&str]) -> String {
    let output = answered(mesh, arguments).await;
    assert_eq!(output.code, Some(0), "{arguments:?}: {}", output.stderr);
    unwrapped(&output.stdout)
}

/// Lines are wrapped for people.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Refused with exit code 1; returns the message.
async fn refused(mesh: &TestMesh, arguments: &[&str]) -> String {
    let output = answered(mesh, arguments).await;
    assert_eq!(
        output.code,
        Some(1),
        "{arguments:?}: {}{}",
        output.stdout,
        output.stderr
    );

    unwrapped(&output.stderr)
}

async fn get(mesh: &TestMesh, asked: usize, path: &str) -> Value {
    let (code, body) = mesh.api(asked).get(path).await.unwrap();
    assert_eq!(code, 200, "{path}: {body}");
    body
}

/// A region's share in a plan of the API.
fn share_of(plan: &Value, region: &str) -> f64 {
    let regions = plan["regions"].as_array().expect("regions");
    regions
        .iter()
        .find(|part| part["region"] == region)
        .expect("the region")["share"]
        .as_f64()
        .expect("a share")
}

/// Waits until each agent gives the region a wanted share.
async fn shared(mesh: &TestMesh, region: &str, is_wanted: impl Fn(f64) -> bool) {
    until_share(&mesh.running_apis(), region, seconds(40), is_wanted).await;
}

/// Who ordered what of a region, by `GET /v1/status`.
async fn order_of(mesh: &TestMesh, region: &str) -> Option<(String, String)> {
    let status = get(mesh, 0, "/v1/status").await;
    let orders = status["orders"].as_array().cloned().unwrap_or_default();
    let order = orders.into_iter().find(|order| order["region"] == region)?;
    let text = |name: &str| order[name].as_str().unwrap_or_default().to_owned();
    Some((text("kind"), text("by")))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_replaces_anothers_only_by_force_and_a_promotion_uses_the_ramp() {
    let mesh = TestMesh::start().await;
    mesh.converged().await;

    let region = mesh.region(1).to_owned();
    let third = mesh.region(2).to_owned();
    let anns = [
        "failover",
        "drain",
        &region,
        "--by",
        "ann",
        "--why",
        "disks are out",
        "--for",
        "2h",
    ];

    done(&mesh, &anns).await;
    shared(&mesh, &region, |share| share == 0.0).await;

    assert_others_are_refused(&mesh, &region).await;

    assert_drain_is_not_replaced(&mesh, &region).await;

    shared(&mesh, &region, |share| share == 0.0).await;

    assert_order_outlives_plans(&mesh, &region, &third).await;

    assert_hold_outlasts_restoration(&mesh, &region).await;

    done(&mesh, &anns).await;

    promote_by_force(&mesh, &region).await;

    replace_own_order_at_once(&mesh, &region).await;
}

async fn assert_others_are_refused(mesh: &TestMesh, region: &str) {
    for order in ["promote", "hold"] {
        let why = refused(
            mesh,
            &[
                "failover",
                order,
                region,
                "--by",
                "bob",
                "--why",
                "load test",
                "--for",
                "10m",
            ],
        )
        .await;

        for said in [
            &format!("the drain of {region} by ann (disks are out)")[..],
            "left",
            "--force",
        ] {
            assert!(why.contains(said), "{said:?} is missing in: {why}");
        }
    }
}

async fn assert_drain_is_not_replaced(mesh: &TestMesh, region: &str) {
    let body = json!({ "region": region, "by": "bob", "why": "look", "for_ms": 2_000 });
    let (code, answer) = mesh.api(0).post("/v1/failover/hold", &body).await.unwrap();
    assert_eq!(
        (code, &answer["code"]),
        (409, &json!("would-replace")),
        "{answer}"
    );

    assert_eq!(
        order_of(mesh, region).await,
        Some(("drain".into(), "ann".into()))
    );
}

/// After later plans the status still lists who ordered what.
async fn assert_order_outlives_plans(mesh: &TestMesh, region: &str, third: &str) {
    done(
        mesh,
        &["failover", "hold", third, "--by", "bob", "--why", "look"],
    )
    .await;

    done(
        mesh,
        &["failover", "restore", third, "--by", "bob", "--why", "over"],
    )
    .await;

    let text = done(mesh, &["status"]).await;
    assert!(
        text.contains(&format!("drain of {region} by ann (disks are out), ")),
        "{text}"
    );
}

/// Under a hold of the mesh a restored region stays out, and the answer says so.
async fn assert_hold_outlasts_restoration(mesh: &TestMesh, region: &str) {
    done(mesh, &["failover", "hold", "--by", "bob", "--why", "storm"]).await;

    let text = done(
        mesh,
        &[
            "failover",
            "restore",
            region,
            "--by",
            "ann",
            "--why",
            "disks are in",
        ],
    )
    .await;

    assert!(
        text.contains(&format!(
            "{region} stays at 0 % while the hold of the whole mesh by bob (storm)"
        )),
        "{text}"
    );

    done(
        mesh,
        &["failover", "restore", "--by", "bob", "--why", "over"],
    )
    .await;
}

/// By force it is done, reports what it replaced, and the region comes back by cool-down and ramp,
/// not immediately.
async fn promote_by_force(mesh: &TestMesh, region: &str) {
    let forced = [
        "failover",
        "promote",
        region,
        "--by",
        "bob",
        "--why",
        "load test",
        "--force",
        "--json",
    ];

    let answer: Value = serde_json::from_str(&done(mesh, &forced).await).unwrap();
    let said = answer["done"].as_str().unwrap();
    assert!(
        said.contains(&format!(
            "which replaces the drain of {region} by ann (disks are out)"
        )),
        "{said}"
    );

    assert_eq!(share_of(&answer["plan"], region), 0.0, "{answer}");
    shared(mesh, region, |share| share == 1.0).await;

    let history = get(mesh, 0, "/v1/failover/history").await;
    let shares = history["plans"]
        .as_array()
        .unwrap()
        .iter()
        .map(|past| share_of(&past["plan"], region));

    assert!(
        shares.clone().any(|share| share > 0.0 && share < 0.9),
        "{:?}",
        shares.collect::<Vec<_>>()
    );
}

/// One's own order may be replaced, and the answer says so; an immediate promotion skips the
/// recovery.
async fn replace_own_order_at_once(mesh: &TestMesh, region: &str) {
    let text = done(
        mesh,
        &["failover", "drain", region, "--by", "bob", "--why", "again"],
    )
    .await;

    assert!(text.contains("which replaces"), "{text}");
    let immediate = [
        "failover",
        "promote",
        region,
        "--by",
        "bob",
        "--why",
        "now",
        "--immediate",
        "--json",
    ];

    let answer: Value = serde_json::from_str(&done(mesh, &immediate).await).unwrap();
    assert_eq!(share_of(&answer["plan"], region), 1.0, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_of_one_region_has_a_leader_ten_seconds_after_its_store_returns() {
    let mesh = TestMesh::start_with(Setup {
        regions: &["solo"],
        ..Setup::default()
    })
    .await;
    let api = mesh.api(0);
    let leads = async |wanted: bool| {
        let leader = api.status().await?.leader;
        claim(leader.is_some() == wanted, || format!("{leader:?}"))
    };

    until("it leads", seconds(20), async || leads(true).await).await;
    let before = api.plan_seq().await.unwrap();

    // Replaced by a file: root ignores permissions.
    let [store] = &mesh.layout().store_directories()[..] else {
        panic!("one store")
    };
    let aside: PathBuf = store.with_extension("aside");

    std::fs::rename(store, &aside).unwrap();
    std::fs::write(store, "").unwrap();
    until("it leads no longer", seconds(40), async || {
        leads(false).await
    })
    .await;

    let attempts = || {
        let log = std::fs::read_to_string(&mesh.agent(0).log_file).unwrap();
        log.lines()
            .filter(|line| line.contains("campaigning for leadership"))
            .count()
    };
    let so_far = attempts();

    until("it stood in vain, twice", seconds(40), async || {
        claim(attempts() >= so_far + 2, || {
            format!("{} attempts", attempts())
        })
    })
    .await;

    std::fs::remove_file(store).unwrap();
    std::fs::rename(&aside, store).unwrap();
    until("it leads again", seconds(10), async || leads(true).await).await;

    // It does lead: an order is carried out.
    done(
        &mesh,
        &[
            "failover",
            "hold",
            "--by",
            "ann",
            "--why",
            "after the outage",
        ],
    )
    .await;

    assert!(api.plan_seq().await.unwrap() > before);
    let log = std::fs::read_to_string(&mesh.agent(0).log_file).unwrap();
    assert!(
        !log.contains("cannot campaign for leadership"),
        "a ballot was used twice"
    );
}
