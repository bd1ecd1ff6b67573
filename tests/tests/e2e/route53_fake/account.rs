//! The account's rate, changes that take time, and faults.

use super::{a, code, create, fake, outcome};
use aws_sdk_route53::types::{Change, ChangeAction, ChangeBatch, ChangeStatus};
use regionmesh_tests::{
    route53::{FakeRoute53, Fault, Options, ZONE_ID, client},
    wait::{seconds, until},
};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_zone_takes_one_change_at_a_time() {
    let fake = FakeRoute53::start(Options {
        processing: Duration::from_millis(300),
        ..Options::default()
    })
    .await;
    let client = client(&fake.url(), seconds(5)).await;
    let (one, two) = tokio::join!(
        create(&client, a("one.example.com", "192.0.2.1")),
        create(&client, a("two.example.com", "192.0.2.1")),
    );
    let mut codes = [code(one), code(two)];

    codes.sort();
    assert_eq!(codes, ["PriorRequestNotComplete", "ok"]);

    // Reading is not held up, and the next change after it is taken.
    client
        .list_resource_record_sets()
        .hosted_zone_id(ZONE_ID)
        .send()
        .await
        .unwrap();

    until("the zone is free again", seconds(5), async || {
        create(&client, a("three.example.com", "192.0.2.1"))
            .await
            .map_err(|error| format!("{error:?}"))
    })
    .await;
}

#[tokio::test]
async fn an_account_has_a_request_rate() {
    let fake = FakeRoute53::start(Options {
        requests_per_second: 5,
        ..Options::default()
    })
    .await;
    let client = client(&fake.url(), seconds(5)).await;
    let begin = Instant::now();
    let mut codes = Vec::new();

    for _ in 0..8 {
        codes.push(code(outcome(
            client.get_hosted_zone().id(ZONE_ID).send().await,
        )));
    }

    let allowed = codes.iter().filter(|code| *code == "ok").count();
    let refilled = (begin.elapsed().as_secs_f64() * 5.0).ceil() as usize;
    assert!(
        (5..=5 + refilled).contains(&allowed),
        "{codes:?} in {:?}",
        begin.elapsed()
    );

    if refilled < 3 {
        assert!(codes.contains(&"Throttling".to_owned()), "{codes:?}");
    }
}

#[tokio::test]
async fn a_change_is_pending_until_it_is_on_the_name_servers() {
    let options = Options {
        in_sync: Duration::from_millis(800),
        ..Options::default()
    };
    let fake = FakeRoute53::start(options).await;
    let client = client(&fake.url(), seconds(5)).await;
    let set = Change::builder()
        .action(ChangeAction::Create)
        .resource_record_set(a("one.example.com", "192.0.2.1"));

    let batch = ChangeBatch::builder()
        .changes(set.build().unwrap())
        .build()
        .unwrap();
    let done = client
        .change_resource_record_sets()
        .hosted_zone_id(ZONE_ID)
        .change_batch(batch)
        .send()
        .await
        .unwrap();

    let info = done.change_info().unwrap();
    assert_eq!(*info.status(), ChangeStatus::Pending);
    assert!(fake.answers("one.example.com.", "A").is_empty());
    until("the change is in sync", seconds(10), async || {
        let answer = client
            .get_change()
            .id(info.id())
            .send()
            .await
            .map_err(|error| error.to_string())?;
        let status = answer.change_info().unwrap().status().clone();

        if status == ChangeStatus::Insync {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    })
    .await;

    assert_eq!(
        fake.answers("one.example.com.", "A")[0].values,
        ["192.0.2.1"]
    );

    assert_eq!(
        code(outcome(client.get_change().id("C999").send().await)),
        "NoSuchChange"
    );
}

#[tokio::test]
async fn unsigned_requests_are_refused() {
    let (fake, _client) = fake().await;
    let path = format!("{}/2013-04-01/hostedzone/{ZONE_ID}", fake.url());
    let answer = regionmesh_tests::api::client()
        .get(path)
        .send()
        .await
        .unwrap();

    assert_eq!(answer.status().as_u16(), 403);
}

#[tokio::test]
async fn faults_happen_as_injected() {
    let fake = FakeRoute53::start(Options {
        processing: Duration::ZERO,
        ..Options::default()
    })
    .await;
    let client = client(&fake.url(), Duration::from_millis(500)).await;
    let operation = "ChangeResourceRecordSets";
    let exists = |name: &str| !fake.sets_of(name).is_empty();

    for (name, fault, wanted, is_done) in [
        ("a.example.com.", Fault::LostRequest, "not answered", false),
        ("b.example.com.", Fault::LostAnswer, "not answered", true),
        ("c.example.com.", Fault::Throttled, "Throttling", false),
        (
            "d.example.com.",
            Fault::Prior,
            "PriorRequestNotComplete",
            false,
        ),
        ("e.example.com.", Fault::Broken, "InternalFailure", false),
    ] {
        fake.fail_next(operation, fault.clone());
        assert_eq!(
            code(create(&client, a(name, "192.0.2.1")).await),
            wanted,
            "{fault:?}"
        );

        assert_eq!(exists(name), is_done, "{fault:?}");
    }

    fake.fail_next(operation, Fault::Late(Duration::from_millis(800)));
    assert_eq!(
        code(create(&client, a("f.example.com.", "192.0.2.1")).await),
        "not answered"
    );

    assert!(!exists("f.example.com."));
    until("the late change is done", seconds(5), async || {
        if exists("f.example.com.") {
            Ok(())
        } else {
            Err("not yet".into())
        }
    })
    .await;

    create(&client, a("g.example.com.", "192.0.2.1"))
        .await
        .unwrap();
}
