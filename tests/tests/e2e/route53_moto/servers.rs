//! The cases on the fake and on moto.

use super::{Bench, CASES};
use futures::FutureExt;
use regionmesh_tests::{
    route53::{FakeRoute53, Options, ZONE_ID, bench::config, client},
    wait::seconds,
};
use std::{panic::AssertUnwindSafe, path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

/// Rules that moto 5.2 breaks, and how.
const BROKEN_IN_MOTO: &[(&str, &str)] = &[
    (
        "a_delete_of_former_values_is_refused",
        "DELETE takes any values that were ever there",
    ),
    (
        "a_create_of_what_exists_is_refused",
        "CREATE only checks for an earlier CREATE of the same values",
    ),
    (
        "a_refused_batch_changes_nothing",
        "changes before the one that fails stay",
    ),
    (
        "a_stale_fence_swap_is_refused",
        "the compare-and-swap succeeds, since its DELETE does",
    ),
];

/// Rules that moto does not have at all, so that there is nothing to compare; only the fake has
/// them.
const ABSENT_IN_MOTO: &[&str] = &[
    "throttling and PriorRequestNotComplete",
    "a change that is PENDING for a while",
    "health checkers, and name servers that answer by routing policy",
];

#[tokio::test]
async fn every_case_passes_on_the_fake() {
    for (name, case) in CASES {
        println!("{name}");
        // A raw client does not wait until the zone is free.
        let fake = FakeRoute53::start(Options {
            processing: Duration::ZERO,
            ..Options::default()
        })
        .await;
        let mut config = config(&fake.url(), ZONE_ID, &[]);

        config.settings.route53.as_mut().unwrap().verify = false;
        let client = client(&fake.url(), seconds(10)).await;
        case(Bench {
            client,
            config,
            zone_id: ZONE_ID.into(),
        })
        .await;
    }
}

/// moto, running; ends with the value.
struct Moto {
    url: String,
    _process: Child,
}

impl Moto {
    async fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .unwrap()
            .join("scripts/moto-server");
        let mut process = Command::new(&script)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", script.display()));

        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let url = loop {
            let Some(line) = lines.next_line().await.unwrap() else {
                panic!(
                    "{} ended; python3 with venv and a package index are needed:\n{}",
                    script.display(),
                    said.join("\n")
                )
            };

            if let Some((_, url)) = line.split_once("Running on ") {
                break url.trim().to_owned();
            }
            said.push(line);
        };

        // It writes a line for each request, and must not wait for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            url,
            _process: process,
        }
    }
}

#[tokio::test]
async fn every_case_passes_on_moto_except_for_its_known_deviations() {
    let moto = Moto::start().await;
    let client = client(&moto.url, seconds(30)).await;
    let mut broken = Vec::new();
    let mut failed = Vec::new();

    for (index, (name, case)) in CASES.iter().enumerate() {
        let zone = client
            .create_hosted_zone()
            .name("example.com")
            .caller_reference(index.to_string())
            .send()
            .await
            .unwrap();

        let zone_id = zone
            .hosted_zone()
            .unwrap()
            .id()
            .trim_start_matches("/hostedzone/")
            .to_owned();
        let mut config = config(&moto.url, &zone_id, &[]);

        config.settings.route53.as_mut().unwrap().verify = false;
        let bench = Bench {
            client: client.clone(),
            config,
            zone_id,
        };
        let holds = AssertUnwindSafe(case(bench)).catch_unwind().await.is_ok();

        match BROKEN_IN_MOTO.iter().find(|(rule, _)| rule == name) {
            Some((_, why)) if !holds => {
                println!("SKIPPED on moto: {name} ({why})");
                broken.push(*name);
            }
            Some(_) => {}
            None if holds => println!("ok on moto: {name}"),
            None => failed.push(*name),
        }
    }

    for rule in ABSENT_IN_MOTO {
        println!("SKIPPED on moto: {rule} (it has nothing of the kind)");
    }
    assert!(failed.is_empty(), "{failed:?}");

    let listed: Vec<_> = BROKEN_IN_MOTO.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(broken, listed, "a rule on the list holds now: take it off");
}
