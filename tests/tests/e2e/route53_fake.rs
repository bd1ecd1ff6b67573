//! The fake of the Route 53 API obeys the documented rules: one test for each, through the real
//! SDK's client.

mod account;
mod checks;
mod records;

use aws_sdk_route53::{
    Client,
    error::{DisplayErrorContext, ProvideErrorMetadata, SdkError},
    types::{
        Change, ChangeAction, ChangeBatch, HealthCheckConfig, HealthCheckType, ResourceRecord,
        ResourceRecordSet, RrType,
    },
};
use regionmesh_tests::{
    route53::{FakeRoute53, Options, Set, ZONE_ID, client},
    wait::seconds,
};
use std::time::Duration;

/// Whether a request did as asked, or the error's code and message.
type Outcome = Result<(), (String, String)>;

async fn fake() -> (FakeRoute53, Client) {
    let fake = FakeRoute53::start(Options {
        processing: Duration::ZERO,
        ..Options::default()
    })
    .await;
    let client = client(&fake.url(), seconds(5)).await;

    (fake, client)
}

fn outcome<T, E: ProvideErrorMetadata + std::error::Error + 'static>(
    answer: Result<T, SdkError<E>>,
) -> Outcome {
    answer.map(drop).map_err(|error| match &error {
        SdkError::ServiceError(service) => {
            let code = service.err().code();
            let message = service.err().message();
            (
                code.unwrap_or_default().to_owned(),
                message.unwrap_or_default().to_owned(),
            )
        }
        other => (
            "not answered".into(),
            DisplayErrorContext(other).to_string(),
        ),
    })
}

fn code(outcome: Outcome) -> String {
    outcome.map_or_else(|(code, _)| code, |()| "ok".into())
}

fn set(
    name: &str,
    record_type: &str,
    values: &[&str],
) -> aws_sdk_route53::types::builders::ResourceRecordSetBuilder {
    let records = values
        .iter()
        .map(|value| ResourceRecord::builder().value(*value).build().unwrap())
        .collect();

    ResourceRecordSet::builder()
        .name(name)
        .r#type(RrType::from(record_type))
        .ttl(60)
        .set_resource_records(Some(records))
}

fn a(name: &str, value: &str) -> ResourceRecordSet {
    set(name, "A", &[value]).build().unwrap()
}

fn weighted(name: &str, value: &str, id: &str, weight: i64) -> ResourceRecordSet {
    set(name, "A", &[value])
        .set_identifier(id)
        .weight(weight)
        .build()
        .unwrap()
}

async fn change(client: &Client, changes: &[(ChangeAction, ResourceRecordSet)]) -> Outcome {
    let change = |(action, set): &(ChangeAction, ResourceRecordSet)| {
        Change::builder()
            .action(action.clone())
            .resource_record_set(set.clone())
            .build()
            .unwrap()
    };

    let batch = ChangeBatch::builder()
        .set_changes(Some(changes.iter().map(change).collect()))
        .build()
        .unwrap();

    outcome(
        client
            .change_resource_record_sets()
            .hosted_zone_id(ZONE_ID)
            .change_batch(batch)
            .send()
            .await,
    )
}

async fn create(client: &Client, set: ResourceRecordSet) -> Outcome {
    change(client, &[(ChangeAction::Create, set)]).await
}

#[track_caller]
fn assert_invalid(outcome: Outcome, words: &str) {
    let (code, message) = outcome.expect_err("it was accepted");
    assert!(
        code == "InvalidChangeBatch" && message.contains(words),
        "{code}: {message}"
    );
}

#[tokio::test]
async fn a_batch_is_applied_as_a_whole_or_not_at_all() {
    let (fake, client) = fake().await;
    let before = fake.sets();
    let good = a("one.example.com", "192.0.2.1");
    let bad = a("two.example.com", "192.0.2.2");
    let mixed = [
        (ChangeAction::Create, good.clone()),
        (ChangeAction::Delete, bad.clone()),
    ];

    assert_invalid(change(&client, &mixed).await, "but it was not found");
    assert_eq!(fake.sets(), before);
    change(
        &client,
        &[(ChangeAction::Create, good), (ChangeAction::Create, bad)],
    )
    .await
    .unwrap();

    assert_eq!(fake.sets().len(), before.len() + 2);
}

#[tokio::test]
async fn delete_must_match_values_ttl_identifier_and_weight() {
    let (fake, client) = fake().await;
    let name = "one.example.com";
    create(
        &client,
        set(name, "A", &["192.0.2.1", "192.0.2.2"])
            .set_identifier("x")
            .weight(3)
            .build()
            .unwrap(),
    )
    .await
    .unwrap();

    let base = || {
        set(name, "A", &["192.0.2.1", "192.0.2.2"])
            .set_identifier("x")
            .weight(3)
    };

    for other in [
        base().ttl(61),
        base().weight(4),
        set(name, "A", &["192.0.2.1"]).set_identifier("x").weight(3),
        set(name, "A", &["192.0.2.1", "192.0.2.3"])
            .set_identifier("x")
            .weight(3),
    ] {
        let refused = change(&client, &[(ChangeAction::Delete, other.build().unwrap())]).await;
        assert_invalid(
            refused,
            "but the values provided do not match the current values",
        );
    }

    let other = base().set_identifier("y").build().unwrap();
    assert_invalid(
        change(&client, &[(ChangeAction::Delete, other)]).await,
        "but it was not found",
    );

    // The order of values means nothing.
    let same = set(name, "A", &["192.0.2.2", "192.0.2.1"])
        .set_identifier("x")
        .weight(3)
        .build()
        .unwrap();

    change(&client, &[(ChangeAction::Delete, same)])
        .await
        .unwrap();
    assert!(fake.sets_of("one.example.com.").is_empty());
}

#[tokio::test]
async fn a_set_can_be_deleted_only_once_in_a_batch() {
    let (_fake, client) = fake().await;
    let one = a("one.example.com", "192.0.2.1");
    create(&client, one.clone()).await.unwrap();

    let twice = [
        (ChangeAction::Delete, one.clone()),
        (ChangeAction::Delete, one),
    ];

    assert_invalid(change(&client, &twice).await, "invalid set of changes");
}

#[tokio::test]
async fn create_refuses_what_exists_and_upsert_replaces_it() {
    let (fake, client) = fake().await;
    create(&client, a("one.example.com", "192.0.2.1"))
        .await
        .unwrap();
    assert_invalid(
        create(&client, a("one.example.com", "192.0.2.2")).await,
        "but it already exists",
    );

    change(
        &client,
        &[(ChangeAction::Upsert, a("one.example.com", "192.0.2.2"))],
    )
    .await
    .unwrap();

    assert_eq!(
        fake.sets_of("one.example.com."),
        [Set::simple("one.example.com.", "A", &["192.0.2.2"])]
    );

    change(
        &client,
        &[(ChangeAction::Upsert, a("new.example.com", "192.0.2.2"))],
    )
    .await
    .unwrap();

    assert_eq!(fake.sets_of("new.example.com.").len(), 1);
}

#[tokio::test]
async fn delete_and_create_of_one_set_in_a_batch_replace_it_atomically() {
    let (fake, client) = fake().await;
    let old = a("one.example.com", "192.0.2.1");
    let new = a("one.example.com", "192.0.2.2");

    create(&client, old.clone()).await.unwrap();
    let swap = [(ChangeAction::Delete, old), (ChangeAction::Create, new)];
    change(&client, &swap).await.unwrap();
    assert!(
        fake.sets_of("one.example.com.")[0]
            .values
            .contains("192.0.2.2")
    );

    assert_invalid(
        change(&client, &swap).await,
        "do not match the current values",
    );
}

#[tokio::test]
async fn a_batch_holds_1000_records_and_32000_characters_and_an_upsert_counts_twice() {
    let (_fake, client) = fake().await;
    let batch = |action: ChangeAction, count: usize| -> Vec<_> {
        (0..count)
            .map(|index| {
                (
                    action.clone(),
                    a(&format!("a{index}.example.com"), "192.0.2.1"),
                )
            })
            .collect()
    };

    assert_invalid(
        change(&client, &batch(ChangeAction::Create, 1_001)).await,
        "Number of records limit",
    );

    assert_invalid(
        change(&client, &batch(ChangeAction::Upsert, 501)).await,
        "Number of records limit",
    );

    change(&client, &batch(ChangeAction::Create, 1_000))
        .await
        .unwrap();

    let long = format!("\"{}\"", "x".repeat(198));
    let text = |action: ChangeAction, count: usize| -> Vec<_> {
        let set = |index| {
            set(&format!("t{index}.example.com"), "TXT", &[&long])
                .build()
                .unwrap()
        };

        (0..count)
            .map(|index| (action.clone(), set(index)))
            .collect()
    };

    assert_invalid(
        change(&client, &text(ChangeAction::Create, 161)).await,
        "Maximum character limit",
    );

    assert_invalid(
        change(&client, &text(ChangeAction::Upsert, 81)).await,
        "Maximum character limit",
    );

    change(&client, &text(ChangeAction::Create, 160))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_refused_batch_can_be_reported_in_the_old_form() {
    let options = Options {
        has_bare_batch_errors: true,
        ..Options::default()
    };
    let fake = FakeRoute53::start(options).await;
    let client = client(&fake.url(), seconds(5)).await;
    let refused = change(
        &client,
        &[(ChangeAction::Delete, a("one.example.com", "192.0.2.1"))],
    )
    .await
    .unwrap_err();

    // The SDK does not know it; the provider does (route53.rs).
    assert_eq!(refused.0, "");
    assert_eq!(
        fake.count("ChangeResourceRecordSets", "InvalidChangeBatch"),
        1
    );
}

fn poll(path: &str) -> HealthCheckConfig {
    HealthCheckConfig::builder()
        .r#type(HealthCheckType::Http)
        .fully_qualified_domain_name("agents.example.com")
        .port(9080)
        .resource_path(path)
        .request_interval(10)
        .failure_threshold(1)
        .build()
        .unwrap()
}

async fn make_check(
    client: &Client,
    reference: &str,
    config: HealthCheckConfig,
) -> Result<String, (String, String)> {
    let made = client
        .create_health_check()
        .caller_reference(reference)
        .health_check_config(config)
        .send()
        .await;

    match made {
        Ok(made) => Ok(made.health_check().unwrap().id().to_owned()),
        Err(error) => Err(outcome::<(), _>(Err(error)).unwrap_err()),
    }
}
