//! Rules for health checks, and what name servers answer by them.

use super::{code, fake, make_check, outcome, poll};
use aws_sdk_route53::{
    Client,
    types::{HealthCheckConfig, HealthCheckType, Tag, TagResourceType},
};
use regionmesh_tests::{
    route53::{FakeRoute53, Options, Set, client},
    wait::{seconds, until},
};

fn calculated(children: &[String], threshold: i32) -> HealthCheckConfig {
    HealthCheckConfig::builder()
        .r#type(HealthCheckType::Calculated)
        .set_child_health_checks(Some(children.to_vec()))
        .health_threshold(threshold)
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_caller_reference_creates_one_check_and_cannot_be_reused() {
    let (fake, client) = fake().await;
    let id = make_check(&client, "one", poll("/a")).await.unwrap();
    assert_eq!(make_check(&client, "one", poll("/a")).await.unwrap(), id);
    assert_eq!(
        make_check(&client, "one", poll("/b")).await.unwrap_err().0,
        "HealthCheckAlreadyExists"
    );

    assert_ne!(make_check(&client, "two", poll("/a")).await.unwrap(), id);
    client
        .delete_health_check()
        .health_check_id(&id)
        .send()
        .await
        .unwrap();

    assert_eq!(
        make_check(&client, "one", poll("/a")).await.unwrap_err().0,
        "HealthCheckAlreadyExists"
    );

    let again = client
        .delete_health_check()
        .health_check_id(&id)
        .send()
        .await;

    assert_eq!(code(outcome(again)), "NoSuchHealthCheck");
    assert_eq!(
        make_check(&client, &"x".repeat(65), poll("/a"))
            .await
            .unwrap_err()
            .0,
        "InvalidInput"
    );

    assert_eq!(fake.checks().len(), 1);
}

#[tokio::test]
async fn a_check_polls_a_public_endpoint_every_10_or_30_seconds() {
    let (_fake, client) = fake().await;
    let mut config = poll("/a");
    config.request_interval = Some(20);
    assert_eq!(
        make_check(&client, "one", config).await.unwrap_err().0,
        "InvalidInput"
    );

    let mut config = poll("/a");
    config.failure_threshold = Some(11);
    assert_eq!(
        make_check(&client, "one", config).await.unwrap_err().0,
        "InvalidInput"
    );

    for (address, is_good) in [
        ("10.0.0.1", false),
        ("127.0.0.1", false),
        ("192.0.2.1", false),
        ("8.8.8.8", true),
    ] {
        let mut config = poll("/a");
        config.fully_qualified_domain_name = None;
        config.ip_address = Some(address.into());
        assert_eq!(
            make_check(&client, address, config).await.is_ok(),
            is_good,
            "{address}"
        );
    }
}

#[tokio::test]
async fn a_calculated_check_counts_existing_children_and_no_calculated_ones() {
    let (fake, client) = fake().await;
    let one = make_check(&client, "one", poll("/a")).await.unwrap();
    let unknown = calculated(&["hc-none".into()], 1);

    assert_eq!(
        make_check(&client, "p", unknown).await.unwrap_err().0,
        "InvalidInput"
    );

    let parent = make_check(&client, "p", calculated(std::slice::from_ref(&one), 1))
        .await
        .unwrap();
    assert_eq!(
        make_check(&client, "pp", calculated(std::slice::from_ref(&parent), 1))
            .await
            .unwrap_err()
            .0,
        "InvalidInput"
    );

    assert_eq!(
        make_check(&client, "q", calculated(std::slice::from_ref(&one), 257))
            .await
            .unwrap_err()
            .0,
        "InvalidInput"
    );

    let many: Vec<String> = (0..257).map(|index| format!("hc-{index}")).collect();
    assert_eq!(
        make_check(&client, "r", calculated(&many, 1))
            .await
            .unwrap_err()
            .0,
        "InvalidInput"
    );

    let never = make_check(&client, "s", calculated(std::slice::from_ref(&one), 2))
        .await
        .unwrap();
    let always = make_check(&client, "t", calculated(std::slice::from_ref(&one), 0))
        .await
        .unwrap();

    assert!(!fake.is_healthy(&never) && fake.is_healthy(&always));
    // Nothing answers for agents.example.com, so the child fails, and its parent with it.
    until("the check fails", seconds(5), async || {
        if fake.is_healthy(&one) || fake.is_healthy(&parent) {
            Err("healthy".into())
        } else {
            Ok(())
        }
    })
    .await;

    assert!(fake.is_healthy(&always));
}

#[tokio::test]
async fn checks_are_listed_in_pages_and_tags_for_ten_at_a_time() {
    let fake = FakeRoute53::start(Options {
        checks_page: 5,
        ..Options::default()
    })
    .await;
    let client = client(&fake.url(), seconds(5)).await;
    let mut ids = Vec::new();

    for index in 0..11 {
        ids.push(
            make_check(&client, &format!("r{index}"), poll("/a"))
                .await
                .unwrap(),
        );
    }

    let seen = checks_page_by_page(&client).await;

    assert_eq!(seen, ids);
    let tag = Tag::builder().key("k").value("v & <w>").build();
    client
        .change_tags_for_resource()
        .resource_type(TagResourceType::Healthcheck)
        .resource_id(&ids[3])
        .add_tags(tag)
        .send()
        .await
        .unwrap();

    let tags = |ids: Vec<String>| {
        client
            .list_tags_for_resources()
            .resource_type(TagResourceType::Healthcheck)
            .set_resource_ids(Some(ids))
            .send()
    };

    assert_eq!(code(outcome(tags(ids.clone()).await)), "InvalidInput");
    let answer = tags(ids[..10].to_vec()).await.unwrap();
    let tagged: Vec<_> = answer
        .resource_tag_sets()
        .iter()
        .filter(|set| !set.tags().is_empty())
        .collect();

    assert_eq!(tagged.len(), 1);
    assert_eq!(
        (tagged[0].resource_id(), tagged[0].tags()[0].value()),
        (Some(ids[3].as_str()), Some("v & <w>"))
    );
}

async fn checks_page_by_page(client: &Client) -> Vec<String> {
    let mut marker = None;
    let mut seen = Vec::new();
    loop {
        let page = client
            .list_health_checks()
            .set_marker(marker)
            .send()
            .await
            .unwrap();

        seen.extend(
            page.health_checks()
                .iter()
                .map(|check| check.id().to_owned()),
        );

        if !page.is_truncated() {
            break;
        }
        marker = page.next_marker().map(Into::into);
    }

    seen
}

#[tokio::test]
async fn name_servers_answer_by_weight_and_health() {
    let (fake, client) = fake().await;
    let id = make_check(&client, "one", poll("/a")).await.unwrap();
    let name = "w.example.com.";

    fake.edit(
        "CREATE",
        Set {
            check: Some(id.clone()),
            ..Set::weighted(name, "A", &["192.0.2.1"], "a", 3)
        },
    );

    fake.edit("CREATE", Set::weighted(name, "A", &["192.0.2.2"], "b", 0));
    let ids = || {
        fake.answers(name, "A")
            .iter()
            .map(|answer| answer.id.clone())
            .collect::<Vec<_>>()
    };

    // Nothing answers for the check: weight 0 takes over once it is known to have failed.
    until(
        "the set with weight 0 is answered",
        seconds(5),
        async || {
            if ids() == ["b"] {
                Ok(())
            } else {
                Err(format!("{:?}", ids()))
            }
        },
    )
    .await;

    fake.edit("DELETE", Set::weighted(name, "A", &["192.0.2.2"], "b", 0));
    // All are unhealthy, so all count as healthy.
    until(
        "the unhealthy set is answered again",
        seconds(5),
        async || {
            if ids() == ["a"] {
                Ok(())
            } else {
                Err(format!("{:?}", ids()))
            }
        },
    )
    .await;
}
