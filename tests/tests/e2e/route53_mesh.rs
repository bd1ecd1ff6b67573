//! A mesh of real agents and a zone in (the fake of) Route 53: first set-up, following plans, an
//! emergency, drift, and the command line's exit codes.

use regionmesh::config::Config;
use regionmesh_dns::Route53Config;
use regionmesh_tests::{
    command::{CommandOutput, output_of, regionmesh},
    mesh::{Setup, TestMesh},
    route53::{
        FakeRoute53, Options, Policy, Set, ZONE_ID,
        bench::{FENCE, SERVICE},
    },
    wait::{claim, seconds, until},
};
use std::{path::Path, sync::OnceLock, time::Instant};

/// What agents and command line need to sign with.
const CREDENTIALS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "fake"),
    ("AWS_SECRET_ACCESS_KEY", "fake"),
];

/// The section of the configuration that every agent of the test's mesh gets.
static SECTION: OnceLock<Route53Config> = OnceLock::new();

fn section(fake: &FakeRoute53) -> Route53Config {
    let mut text = format!(
        "zone_id = \"{ZONE_ID}\"\nendpoint_url = \"{}\"\nname_servers = \
            [\"{}\"]\nrequests_per_second = 10\n[agents]\n",
        fake.url(),
        fake.name_server()
    );

    for region in ["us-west-2", "eu-west-1", "ap-south-1"] {
        text += &format!("{region} = \"{}\"\n", host(region));
    }
    toml::from_str(&text).unwrap()
}

fn host(region: &str) -> String {
    format!("agents.{region}.example.com")
}

fn adjust(config: &mut Config) {
    config.dns.zone = "ml.example.com".into();
    config.dns.route53 = SECTION.get().cloned();
}

async fn run(arguments: &[&str]) -> CommandOutput {
    let mut command = regionmesh(arguments);
    command
        .envs(CREDENTIALS)
        .env_remove("REGIONMESH_AGENT")
        .current_dir(std::env::temp_dir());

    output_of(&mut command, seconds(60)).await
}

#[track_caller]
fn assert_code(output: &CommandOutput, code: i32, words: &str) {
    let said = output.text();
    assert_eq!(output.code, Some(code), "{said}");
    assert!(said.contains(words), "{words:?} is missing:\n{said}");
}

fn weight(fake: &FakeRoute53, region: &str) -> Option<u8> {
    let id = Some(format!("regionmesh:{region}"));
    let set = fake.sets_of(SERVICE).into_iter().find(|set| set.id == id)?;
    if let Policy::Weighted(weight) = set.policy {
        Some(weight)
    } else {
        None
    }
}

fn fence(fake: &FakeRoute53) -> String {
    let values = fake.sets_of(FENCE).into_iter().flat_map(|set| set.values);
    values
        .into_iter()
        .find(|value| value.starts_with("\"v1 "))
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_is_set_up_tracks_the_plan_and_fails_over_without_an_api_call() {
    let fake = FakeRoute53::start(Options::default()).await;
    SECTION.set(section(&fake)).expect("set once");

    let setup = Setup {
        adjust: Some(adjust),
        environment: &CREDENTIALS,
        ..Setup::default()
    };
    let mesh = TestMesh::prepare(setup).await;
    let file = mesh.agent(0).config_file();
    let file = file.to_str().unwrap();

    for index in 0..3 {
        fake.resolve(&host(mesh.region(index)), mesh.agent(index).api());
    }

    let api = mesh.agent(0).api_url();
    set_up_zone(&fake, file, &api).await;

    mesh.start().await.unwrap_or_else(|error| panic!("{error}"));
    until(
        "the leader has written a committed plan",
        seconds(60),
        async || {
            let fence = fence(&fake);
            claim(!fence.starts_with("\"v1 0 "), || fence)
        },
    )
    .await;

    assert_code(
        &run(&["dns", "plan", "--config", file, "--agent", &api, "--check"]).await,
        0,
        "nothing to do",
    );

    // The configuration is outdated now.
    assert_code(
        &run(&["dns", "apply", "--yes", "--from-config", file]).await,
        1,
        "written from a later plan",
    );

    until_counted_and_answered(&mesh).await;

    evacuate(&fake, &mesh).await;
    mesh.revive(1).await;
    until(
        "the region has its full weight again",
        seconds(90),
        async || {
            let weight = weight(&fake, mesh.region(1));
            claim(weight == Some(255), || format!("{weight:?}"))
        },
    )
    .await;

    correct_drift(&fake, file, &api).await;
    refuse(Path::new(file), &api).await;
    mesh.assert_all_run();
}

/// Before any agent runs.
async fn set_up_zone(fake: &FakeRoute53, file: &str, api: &str) {
    assert_code(
        &run(&["dns", "plan", "--from-config", file, "--check"]).await,
        1,
        "never written by RegionMesh",
    );

    assert_code(
        &run(&["dns", "apply", "--yes", "--from-config", file]).await,
        0,
        "answered by",
    );

    assert_code(
        &run(&["dns", "plan", "--from-config", file, "--check"]).await,
        0,
        "nothing to do",
    );

    assert!(fence(fake).starts_with("\"v1 0 0 "), "{}", fence(fake));
    assert_code(
        &run(&["dns", "plan", "--config", file, "--agent", api]).await,
        3,
        "no agent of the mesh can be reached",
    );
}

async fn until_counted_and_answered(mesh: &TestMesh) {
    until(
        "the leader has counted it, and seen it answered",
        seconds(30),
        async || {
            let mut changed = 0.0;
            let mut visible = 0.0;
            for index in 0..3 {
                let api = mesh.api(index);
                let labels = ["provider=\"route53\"", "outcome=\"changed\""];
                changed += api
                    .metric("regionmesh_dns_provider_publishes_total", &labels)
                    .await
                    .unwrap_or(0.0);

                visible += api
                    .metric(
                        "regionmesh_dns_provider_visible_duration_seconds_count",
                        &[],
                    )
                    .await
                    .unwrap_or(0.0);
            }

            claim(changed >= 1.0 && visible >= 1.0, || {
                format!("{changed} changed, {visible} visible")
            })
        },
    )
    .await;
}

/// Kills a region with its agent: the name servers leave it without an API call, and the plan
/// changes afterwards.
async fn evacuate(fake: &FakeRoute53, mesh: &TestMesh) {
    let dead = format!("regionmesh:{}", mesh.region(1));
    assert!(
        fake.answers(SERVICE, "A")
            .iter()
            .any(|answer| answer.id == dead)
    );

    // So that what is seen is the health checks' doing: while they act, the API does nothing.
    for _ in 0..200 {
        fake.fail_next(
            "ListResourceRecordSets",
            regionmesh_tests::route53::Fault::Throttled,
        );
    }

    let written = fake.count("ChangeResourceRecordSets", "ok");
    let begin = Instant::now();
    mesh.kill_region(1).await;
    until(
        "the name servers have left the region",
        seconds(30),
        async || {
            let ids: Vec<_> = fake
                .answers(SERVICE, "A")
                .into_iter()
                .map(|answer| answer.id)
                .collect();

            claim(!ids.is_empty() && !ids.contains(&dead), || {
                format!("{ids:?}")
            })
        },
    )
    .await;

    println!(
        "the name servers left the region after {:?}",
        begin.elapsed()
    );

    assert_eq!(
        fake.count("ChangeResourceRecordSets", "ok"),
        written,
        "no API call was needed"
    );

    fake.heal();
    until("the zone has the plan's weights", seconds(90), async || {
        let weight = weight(fake, mesh.region(1));
        claim(weight == Some(0), || format!("{weight:?}"))
    })
    .await;
}

/// A record is changed by hand.
async fn correct_drift(fake: &FakeRoute53, file: &str, api: &str) {
    let set = fake.sets_of(SERVICE).remove(0);
    fake.edit(
        "UPSERT",
        Set {
            ttl: Some(3_600),
            ..set.clone()
        },
    );

    let output = run(&[
        "dns", "plan", "--config", file, "--agent", api, "--check", "--json",
    ])
    .await;

    assert_code(&output, 1, "\"is_drift\": true");
    let previews: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(
        previews[0]["differences"].as_array().unwrap().len(),
        1,
        "{previews}"
    );

    assert_code(
        &run(&["dns", "apply", "--yes", "--config", file, "--agent", api]).await,
        0,
        "TTL 3600",
    );

    assert_eq!(fake.sets_of(SERVICE).remove(0).ttl, set.ttl);
}

/// Faults of the command line or the configuration are reported with exit code 2.
async fn refuse(file: &Path, api: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    let mut config: Config = toml::from_str(&text).unwrap();
    let other = file.with_file_name("other.toml");
    let path = other.to_str().unwrap();
    let mut write = |change: fn(&mut Config)| {
        change(&mut config);
        std::fs::write(&other, toml::to_string(&config).unwrap()).unwrap();
    };

    write(|config| {
        let route53 = config.dns.route53.as_mut().unwrap();
        route53.health_check.interval_s = 20;
        route53.ttl_s = 0;
        route53.agents.clear();
    });

    let refused = run(&["dns", "plan", "--config", path, "--agent", api]).await;
    assert_code(&refused, 2, "dns.route53.ttl_s: 0 is not within");
    assert_code(
        &refused,
        2,
        "dns.route53.health_check.interval_s: 20 is neither 10 nor 30",
    );

    assert_code(&refused, 2, "is not a public address");
    write(|config| config.dns.route53 = None);
    assert_code(
        &run(&["dns", "apply", "--config", path, "--agent", api]).await,
        2,
        "has no [dns.route53]",
    );
}
