//! Rules for single record sets.

use super::{
    a, assert_invalid, change, code, create, fake, make_check, outcome, poll, set, weighted,
};
use aws_sdk_route53::types::{
    ChangeAction, ResourceRecordSetFailover, ResourceRecordSetRegion, RrType,
};
use regionmesh_tests::{
    route53::{FakeRoute53, Options, Set, ZONE_ID, client},
    wait::seconds,
};

#[tokio::test]
async fn one_name_and_type_has_one_routing_policy() {
    let (_fake, client) = fake().await;
    create(&client, a("one.example.com", "192.0.2.1"))
        .await
        .unwrap();
    assert_invalid(
        create(&client, weighted("one.example.com", "192.0.2.2", "x", 1)).await,
        "another routing policy",
    );

    create(&client, weighted("two.example.com", "192.0.2.1", "x", 1))
        .await
        .unwrap();
    assert_invalid(
        create(&client, a("two.example.com", "192.0.2.2")).await,
        "another routing policy",
    );

    let failover = set("two.example.com", "A", &["192.0.2.3"])
        .set_identifier("y")
        .failover(ResourceRecordSetFailover::Primary);
    assert_invalid(
        create(&client, failover.build().unwrap()).await,
        "another routing policy",
    );

    create(&client, weighted("two.example.com", "192.0.2.2", "y", 1))
        .await
        .unwrap();

    // Other types are not affected.
    create(
        &client,
        set("two.example.com", "TXT", &["\"x\""]).build().unwrap(),
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn weights_are_0_to_255_and_need_an_identifier() {
    let (_fake, client) = fake().await;
    for (weight, wanted) in [
        (0, "ok"),
        (255, "ok"),
        (256, "InvalidInput"),
        (-1, "InvalidInput"),
    ] {
        let name = format!("w{}.example.com", weight + 1);
        assert_eq!(
            code(create(&client, weighted(&name, "192.0.2.1", "x", weight)).await),
            wanted,
            "{weight}"
        );
    }

    let without = set("n.example.com", "A", &["192.0.2.1"])
        .weight(1)
        .build()
        .unwrap();

    assert_eq!(code(create(&client, without).await), "InvalidInput");
    let pointless = set("n.example.com", "A", &["192.0.2.1"])
        .set_identifier("x")
        .build()
        .unwrap();

    assert_eq!(code(create(&client, pointless).await), "InvalidInput");
    let both = set("n.example.com", "A", &["192.0.2.1"])
        .set_identifier("x")
        .weight(1)
        .failover(ResourceRecordSetFailover::Primary);

    assert_eq!(
        code(create(&client, both.build().unwrap()).await),
        "InvalidInput"
    );
}

#[tokio::test]
async fn a_failover_role_and_a_latency_region_are_unique() {
    let (_fake, client) = fake().await;
    let role = |id: &str, role| {
        set("f.example.com", "A", &["192.0.2.1"])
            .set_identifier(id)
            .failover(role)
            .build()
            .unwrap()
    };

    create(&client, role("x", ResourceRecordSetFailover::Primary))
        .await
        .unwrap();
    assert_invalid(
        create(&client, role("y", ResourceRecordSetFailover::Primary)).await,
        "failover role",
    );

    create(&client, role("y", ResourceRecordSetFailover::Secondary))
        .await
        .unwrap();

    let near = |id: &str| {
        let near = set("l.example.com", "A", &["192.0.2.1"]).set_identifier(id);
        near.region(ResourceRecordSetRegion::EuWest1)
            .build()
            .unwrap()
    };

    create(&client, near("x")).await.unwrap();
    assert_invalid(create(&client, near("y")).await, "same region");
}

#[tokio::test]
async fn a_cname_is_alone_at_its_name_with_one_value_and_never_at_the_apex() {
    let (_fake, client) = fake().await;
    let cname = |name: &str, values: &[&str]| set(name, "CNAME", values).build().unwrap();
    create(&client, a("one.example.com", "192.0.2.1"))
        .await
        .unwrap();
    assert_invalid(
        create(&client, cname("one.example.com", &["x.example.net"])).await,
        "conflicting RRSet of type A",
    );

    create(&client, cname("two.example.com", &["x.example.net"]))
        .await
        .unwrap();
    assert_invalid(
        create(&client, a("two.example.com", "192.0.2.1")).await,
        "conflicting RRSet of type CNAME",
    );

    assert_invalid(
        create(&client, cname("three.example.com", &["x.", "y."])).await,
        "one value only",
    );

    assert_invalid(
        create(&client, cname("example.com", &["x."])).await,
        "not permitted at apex",
    );
}

#[tokio::test]
async fn names_must_be_in_the_zone_and_values_of_the_type() {
    let (_fake, client) = fake().await;
    assert_invalid(
        create(&client, a("one.example.net", "192.0.2.1")).await,
        "not permitted in zone",
    );

    assert_invalid(
        create(&client, a("notexample.com", "192.0.2.1")).await,
        "not permitted in zone",
    );

    assert_invalid(
        create(&client, a("one.example.com", "2001:db8::1")).await,
        "IllegalIPv4Address",
    );

    assert_invalid(
        create(
            &client,
            set("o.example.com", "AAAA", &["192.0.2.1"])
                .build()
                .unwrap(),
        )
        .await,
        "IllegalIPv6Address",
    );

    assert_invalid(
        create(
            &client,
            set("o.example.com", "TXT", &["bare"]).build().unwrap(),
        )
        .await,
        "quotation marks",
    );

    assert_invalid(
        create(
            &client,
            set("o.example.com", "A", &["192.0.2.1", "192.0.2.1"])
                .build()
                .unwrap(),
        )
        .await,
        "Duplicate",
    );

    assert_eq!(
        code(create(&client, set("o.example.com", "A", &[]).build().unwrap()).await),
        "InvalidInput"
    );

    let soa = set(
        "example.com",
        "NS",
        &["ns-1.awsdns-fake.test.", "ns-2.awsdns-fake.test."],
    )
    .build()
    .unwrap();

    assert_invalid(
        change(&client, &[(ChangeAction::Delete, soa)]).await,
        "at least one NS record",
    );
}

#[tokio::test]
async fn record_sets_are_listed_in_pages_ordered_from_the_root() {
    let fake = FakeRoute53::start(Options {
        records_page: 2,
        ..Options::default()
    })
    .await;
    let client = client(&fake.url(), seconds(5)).await;

    for (name, id) in [
        ("z.example.com.", "b"),
        ("z.example.com.", "a"),
        ("a.z.example.com.", "x"),
        ("y.example.com.", "x"),
    ] {
        fake.edit("CREATE", Set::weighted(name, "A", &["192.0.2.1"], id, 1));
    }

    let mut seen = Vec::new();
    let mut request = client.list_resource_record_sets().hosted_zone_id(ZONE_ID);
    loop {
        let page = request.send().await.unwrap();
        assert!(page.resource_record_sets().len() <= 2);
        seen.extend(page.resource_record_sets().iter().map(|set| {
            format!(
                "{} {} {}",
                set.name(),
                set.r#type().as_str(),
                set.set_identifier().unwrap_or("-")
            )
        }));

        if !page.is_truncated() {
            break;
        }
        request = client
            .list_resource_record_sets()
            .hosted_zone_id(ZONE_ID)
            .set_start_record_name(page.next_record_name().map(Into::into))
            .set_start_record_type(page.next_record_type().cloned())
            .set_start_record_identifier(page.next_record_identifier().map(Into::into));
    }

    let wanted = [
        "example.com. NS -",
        "example.com. SOA -",
        "y.example.com. A x",
        "z.example.com. A a",
        "z.example.com. A b",
        "a.z.example.com. A x",
    ];

    assert_eq!(seen, wanted);
    let odd = client
        .list_resource_record_sets()
        .hosted_zone_id(ZONE_ID)
        .start_record_type(RrType::A)
        .send()
        .await;

    assert_eq!(code(outcome(odd)), "InvalidInput");
    let other = client
        .list_resource_record_sets()
        .hosted_zone_id("ZOTHER")
        .send()
        .await;

    assert_eq!(code(outcome(other)), "NoSuchHostedZone");
}

#[tokio::test]
async fn a_record_set_needs_an_existing_health_check() {
    let (_fake, client) = fake().await;
    let watched = |check: &str| {
        set("one.example.com", "A", &["192.0.2.1"])
            .set_identifier("x")
            .weight(1)
            .health_check_id(check)
            .build()
            .unwrap()
    };

    assert_eq!(
        code(create(&client, watched("hc-none")).await),
        "NoSuchHealthCheck"
    );

    let id = make_check(&client, "one", poll("/a")).await.unwrap();
    create(&client, watched(&id)).await.unwrap();
}
