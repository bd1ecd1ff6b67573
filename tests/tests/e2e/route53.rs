//! The Route 53 provider against the strict fake: fences, races, lost answers, throttling, drift.

use regionmesh_dns::{
    DnsProvider, ProviderError, RecordKind, first_plan,
    route53::{ProviderMetrics, Route53, Timeouts},
};
use regionmesh_tests::{
    route53::{
        CheckKind, Fault, Options, Policy, Set, ZONE_ID,
        bench::{Bench, EVEN, FENCE, REGIONS, SERVICE, plan, provider, publish, quiet, section},
        client,
    },
    wait::{claim, seconds, until},
};
use std::{collections::BTreeMap, time::Duration};

#[tokio::test]
async fn a_first_set_up_makes_records_checks_and_fence_and_is_answered() {
    let bench = Bench::new(Options::default()).await;
    let provider = bench.provider().await;
    let first = first_plan(&bench.config, 1);
    let outlook = provider.preview(&first).await.unwrap();

    assert_eq!(
        (
            outlook.new_checks.len(),
            outlook.batches,
            outlook.written_from
        ),
        (9, 1, None)
    );

    assert!(
        bench.fake.checks().is_empty() && bench.fake.sets().len() == 2,
        "a preview changes nothing"
    );

    let published = publish(&provider, &first).await.unwrap();
    let settled = provider.settle(&published, &quiet).await.unwrap();
    assert_eq!(settled.verified, [bench.fake.name_server().to_string()]);
    assert!(
        settled.in_sync_ms.is_some_and(|ms| ms >= 100),
        "{settled:?}"
    );

    assert_eq!(
        bench.weights(),
        REGIONS.map(|region| (region.to_owned(), 255))
    );

    assert!(
        bench.fence().starts_with("\"v1 0 0 us-west-2/node-0 "),
        "{}",
        bench.fence()
    );

    let plain = bench.fake.sets_of("eu-west-1.serving.ml.example.com.");
    assert_eq!(
        (
            plain.len(),
            &plain[0].policy,
            plain[0].values.first().unwrap().as_str()
        ),
        (1, &Policy::Simple, "198.51.100.2")
    );

    let checks = bench.fake.checks();
    let decisive: Vec<_> = bench
        .fake
        .sets_of(SERVICE)
        .iter()
        .map(|set| set.check.clone().unwrap())
        .collect();

    for check in &checks {
        match &check.kind {
            CheckKind::Calculated {
                children,
                threshold,
            } => {
                assert_eq!((children.len(), *threshold), (2, 1));
                assert!(decisive.contains(&check.id));
            }
            CheckKind::Poll {
                host, path, port, ..
            } => {
                let region = &check.tags["regionmesh:region"];
                let observer = &check.tags["regionmesh:observer"];
                assert_ne!(region, observer, "no region is asked about itself");
                assert_eq!((path, *port), (&format!("/verdict/{region}"), 9080));
                assert_eq!(*host, format!("agents.{observer}.example.com"));
            }
        }

        assert_eq!(check.tags["regionmesh:mesh"], "mesh.example.com");
    }

    assert_eq!(checks.len(), 9);
}

#[tokio::test]
async fn applying_twice_writes_once() {
    let bench = Bench::new(Options::default()).await;
    let provider = bench.provider().await;
    let plan = plan(&bench.config, 1, EVEN);

    assert_eq!(publish(&provider, &plan).await.unwrap().batches, 1);
    let sets = bench.fake.sets();
    let checks = bench.fake.checks().len();
    let again = publish(&provider, &plan).await.unwrap();

    assert_eq!(
        (
            again.batches,
            again.differences.len(),
            again.new_checks.len()
        ),
        (0, 0, 0)
    );

    assert!(provider.preview(&plan).await.unwrap().is_done());
    assert_eq!(
        (bench.fake.sets(), bench.fake.checks().len()),
        (sets, checks)
    );

    assert_eq!(bench.fake.count("ChangeResourceRecordSets", ""), 1);
    provider.settle(&again, &quiet).await.unwrap();
}

#[tokio::test]
async fn weights_follow_a_ramp_and_the_fence_each_plan() {
    let bench = Bench::new(Options::default()).await;
    let provider = bench.provider().await;
    for (seq, (bp, weight)) in
        (1..).zip([(0, 0), (100, 3), (1_000, 26), (5_000, 128), (10_000, 255)])
    {
        let published = publish(&provider, &plan(&bench.config, seq, [10_000, 10_000, bp]))
            .await
            .unwrap();
        assert_eq!(bench.weights()[2].1, weight, "{bp} basis points");
        assert!(
            bench.fence().starts_with(&format!("\"v1 4 {seq} ")),
            "{}",
            bench.fence()
        );

        provider.settle(&published, &quiet).await.unwrap();
    }

    // A plan that changes no record moves the fence all the same.
    publish(&provider, &plan(&bench.config, 9, EVEN))
        .await
        .unwrap();
    assert!(bench.fence().starts_with("\"v1 4 9 "));
}

#[tokio::test]
async fn a_stale_plan_changes_nothing_and_says_why() {
    let bench = Bench::new(Options::default()).await;
    let provider = bench.provider().await;
    publish(&provider, &plan(&bench.config, 7, EVEN))
        .await
        .unwrap();

    let before = bench.fake.sets();
    let refused = publish(&provider, &plan(&bench.config, 6, [0, 10_000, 10_000]))
        .await
        .unwrap_err();

    assert!(matches!(refused, ProviderError::Fenced { .. }), "{refused}");
    assert!(
        refused.to_string().contains("plan 7 by us-west-2/node-0"),
        "{refused}"
    );

    let refused = publish(&provider, &first_plan(&bench.config, 1))
        .await
        .unwrap_err();
    assert!(matches!(refused, ProviderError::Fenced { .. }), "{refused}");
    assert_eq!(bench.fake.sets(), before);
}

#[tokio::test]
async fn a_stale_writers_whole_batch_is_refused_when_it_read_before_the_other_wrote() {
    let bench = Bench::new(Options::default()).await;
    publish(&bench.provider().await, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();

    // The old leader has read the zone and its batch is on the way, slowly; its answer never comes.
    bench.fake.fail_next(
        "ChangeResourceRecordSets",
        Fault::Late(Duration::from_millis(1_500)),
    );

    let old = bench.provider().await;
    let stale = plan(&bench.config, 2, [0, 10_000, 10_000]);
    let late = tokio::spawn(async move { publish(&old, &stale).await });

    until(
        "the old leader's batch is on the way",
        seconds(10),
        async || {
            let sent = bench.fake.count("ChangeResourceRecordSets", "late");
            claim(sent == 1, || format!("{sent} sent"))
        },
    )
    .await;

    publish(&bench.provider().await, &plan(&bench.config, 3, EVEN))
        .await
        .unwrap();

    let after = bench.fake.sets();
    let refused = late.await.unwrap().unwrap_err();
    assert!(matches!(refused, ProviderError::Fenced { .. }), "{refused}");
    until(
        "the late batch has arrived, and was refused",
        seconds(10),
        async || {
            claim(
                bench.fake.count("ChangeResourceRecordSets", "refused late") == 1,
                || "not yet".into(),
            )
        },
    )
    .await;

    assert_eq!(bench.fake.sets(), after);
    assert_eq!(bench.fake.count("ChangeResourceRecordSets", "done late"), 0);
}

#[tokio::test]
async fn of_racing_writers_the_latest_plan_stands_and_no_batch_mixes_with_another() {
    let bench = Bench::new(Options::default()).await;
    publish(&bench.provider().await, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();

    let mut writers = Vec::new();
    for seq in 2..6u64 {
        let provider = bench.provider().await;
        let plan = plan(
            &bench.config,
            seq,
            [10_000, 10_000, u16::try_from(seq).unwrap() * 1_000],
        );

        writers.push(tokio::spawn(async move {
            (plan.stamp.seq, publish(&provider, &plan).await)
        }));
    }

    let mut won = Vec::new();
    for writer in writers {
        match writer.await.unwrap() {
            (seq, Ok(_)) => won.push(seq),
            (_, Err(error)) => assert!(matches!(error, ProviderError::Fenced { .. }), "{error}"),
        }
    }

    assert!(won.contains(&5), "{won:?}");
    assert!(bench.fence().starts_with("\"v1 4 5 "), "{}", bench.fence());
    assert_eq!(bench.weights()[2].1, 128);

    let done = bench.fake.count("ChangeResourceRecordSets", "ok");
    assert_eq!(
        done,
        1 + won.len(),
        "each batch that was done belongs to a writer that says so"
    );
}

#[tokio::test]
async fn of_two_writers_with_the_same_fence_exactly_one_wins_each_round() {
    let bench = Bench::new(Options::default()).await;
    let raw = client(&bench.fake.url(), seconds(5)).await;
    publish(&bench.provider().await, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();

    for round in 2..8u64 {
        // Both have read the same fence, and write their batches by hand, with no second look.
        let fence = bench.fake.sets_of(FENCE).remove(0);
        let batches = ["one", "two"]
            .map(|who| swap_of(&fence, &format!("v1 4 {round} eu-west-1/{who} n{round}")));
        let write = |batch: aws_sdk_route53::types::ChangeBatch| {
            raw.change_resource_record_sets()
                .hosted_zone_id(ZONE_ID)
                .change_batch(batch)
                .send()
        };

        let [one, two] = batches;
        let one = write(one).await.is_ok();
        let two = write(two).await.is_ok();

        assert!(one && !two, "round {round}: {one} {two}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

fn swap_of(fence: &Set, next: &str) -> aws_sdk_route53::types::ChangeBatch {
    use aws_sdk_route53::types::{
        Change, ChangeAction, ChangeBatch, ResourceRecord, ResourceRecordSet, RrType,
    };

    let set = |values: Vec<String>| {
        let records = values
            .iter()
            .map(|value| ResourceRecord::builder().value(value).build().unwrap())
            .collect();
        let ttl = i64::try_from(fence.ttl.unwrap()).unwrap();

        ResourceRecordSet::builder()
            .name(FENCE)
            .r#type(RrType::Txt)
            .ttl(ttl)
            .set_resource_records(Some(records))
            .build()
            .unwrap()
    };

    let change = |action, set| {
        Change::builder()
            .action(action)
            .resource_record_set(set)
            .build()
            .unwrap()
    };

    ChangeBatch::builder()
        .changes(change(
            ChangeAction::Delete,
            set(fence.values.iter().cloned().collect()),
        ))
        .changes(change(
            ChangeAction::Create,
            set(vec![format!("\"{next}\"")]),
        ))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_lost_answer_is_resolved_by_reading_the_fence() {
    let bench = Bench::new(Options::default()).await;
    let provider = bench.provider().await;
    publish(&provider, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();
    bench
        .fake
        .fail_next("ChangeResourceRecordSets", Fault::LostAnswer);

    let published = publish(&provider, &plan(&bench.config, 2, [0, 10_000, 10_000]))
        .await
        .unwrap();
    assert_eq!(
        published.batches, 1,
        "it is known to have been this writer's"
    );

    assert_eq!(
        bench.fake.count("ChangeResourceRecordSets", ""),
        2,
        "it was not written again"
    );

    assert_eq!(bench.weights()[0].1, 0);
    // Its change has no ID that could be asked for, but the name servers tell.
    provider.settle(&published, &quiet).await.unwrap();
}

#[tokio::test]
async fn a_lost_request_is_written_again() {
    let bench = Bench::new(Options::default()).await;
    let provider = bench.provider().await;
    publish(&provider, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();
    for fault in [Fault::LostRequest, Fault::Broken] {
        bench.fake.fail_next("ChangeResourceRecordSets", fault);
    }
    publish(&provider, &plan(&bench.config, 2, [0, 10_000, 10_000]))
        .await
        .unwrap();
    assert_eq!(bench.weights()[0].1, 0);
    assert_eq!(bench.fake.count("ChangeResourceRecordSets", "ok"), 2);
}

#[tokio::test]
async fn a_request_that_arrives_after_all_is_done_once() {
    let bench = Bench::new(Options::default()).await;
    let provider = bench.provider().await;
    publish(&provider, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();

    // It arrives after the time-out at 700 ms, at about the time of the second attempt.
    bench.fake.fail_next(
        "ChangeResourceRecordSets",
        Fault::Late(Duration::from_millis(720)),
    );

    let published = publish(&provider, &plan(&bench.config, 2, [0, 10_000, 10_000]))
        .await
        .unwrap();
    assert_eq!(
        published.batches, 1,
        "whichever of the two was done, it is known to have been this writer's"
    );

    until("the late request has arrived", seconds(10), async || {
        let arrived = ["done late", "refused late"]
            .map(|outcome| bench.fake.count("ChangeResourceRecordSets", outcome));
        claim(arrived.iter().sum::<usize>() == 1, || {
            format!("{arrived:?}")
        })
    })
    .await;

    let done = bench.fake.count("ChangeResourceRecordSets", "ok")
        + bench.fake.count("ChangeResourceRecordSets", "done late");
    assert_eq!(done, 2);
    assert_eq!(bench.weights()[0].1, 0);
}

#[tokio::test]
async fn what_is_put_off_is_repeated() {
    let bench = Bench::new(Options::default()).await;
    let provider = bench.provider().await;
    for (operation, fault) in [
        ("ListHealthChecks", Fault::Throttled),
        ("ListResourceRecordSets", Fault::Throttled),
        ("CreateHealthCheck", Fault::LostAnswer),
        ("CreateHealthCheck", Fault::LostRequest),
        ("ChangeTagsForResource", Fault::Broken),
        ("ChangeResourceRecordSets", Fault::Throttled),
        ("ChangeResourceRecordSets", Fault::Prior),
        ("ChangeResourceRecordSets", Fault::Prior),
    ] {
        bench.fake.fail_next(operation, fault);
    }

    let published = publish(&provider, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();
    bench.fake.fail_next("GetChange", Fault::Throttled);
    provider.settle(&published, &quiet).await.unwrap();
    assert_eq!((bench.fake.checks().len(), bench.weights().len()), (9, 3));
    assert_eq!(bench.fake.count("ChangeResourceRecordSets", "ok"), 1);
}

#[tokio::test]
async fn the_accounts_rate_is_kept_to() {
    let mut bench = Bench::new(Options {
        requests_per_second: 5,
        ..Options::default()
    })
    .await;

    bench
        .config
        .settings
        .route53
        .as_mut()
        .unwrap()
        .requests_per_second = 5;

    let provider = bench.provider().await;
    publish(&provider, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();

    // About 25 requests went through a bucket of 5; pacing that misses now and then by a hair is
    // repeated.
    let throttled: usize = [
        "CreateHealthCheck",
        "ChangeTagsForResource",
        "ListHealthChecks",
        "ChangeResourceRecordSets",
    ]
    .iter()
    .map(|operation| bench.fake.count(operation, "Throttling"))
    .sum();

    assert!(throttled <= 3, "{throttled} requests were throttled");
    assert_eq!(bench.fake.checks().len(), 9);
}

#[tokio::test]
async fn patience_ends_and_says_so() {
    let bench = Bench::new(Options::default()).await;
    let timeout = Timeouts {
        operation: Duration::from_millis(600),
        ..Timeouts::default()
    };
    let metrics = ProviderMetrics::new(&prometheus::Registry::new()).unwrap();
    let url = bench.fake.url();
    let provider = Route53::new(
        &bench.config,
        section(&bench.config),
        client(&url, seconds(1)).await,
        timeout,
        metrics,
    );

    for _ in 0..10 {
        bench
            .fake
            .fail_next("ChangeResourceRecordSets", Fault::Prior);
    }

    let error = publish(&provider, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap_err();
    assert!(
        matches!(error, ProviderError::Busy { .. }) && error.is_passing(),
        "{error}"
    );

    assert!(
        error.to_string().contains("PriorRequestNotComplete"),
        "{error}"
    );
}

#[tokio::test]
async fn others_records_stay_and_what_is_in_the_way_stops_everything() {
    let bench = Bench::new(Options::default()).await;
    let foreign = [
        Set::simple("ml.example.com.", "TXT", &["\"v=spf1 -all\""]),
        Set::simple("www.ml.example.com.", "A", &["192.0.2.1"]),
        Set::weighted(SERVICE, "A", &["192.0.2.2"], "legacy", 10),
        Set::simple("old.serving.ml.example.com.", "A", &["192.0.2.3"]),
        Set::simple("zzz.example.com.", "CNAME", &["www.ml.example.com."]),
    ];

    for set in &foreign {
        bench.fake.edit("CREATE", set.clone());
    }

    let provider = bench.provider().await;
    for seq in 1..4 {
        let published = publish(
            &provider,
            &plan(&bench.config, seq, [10_000, 10_000, 1_000]),
        )
        .await
        .unwrap();

        assert_eq!(published.notes.len(), 1, "{:?}", published.notes);
        assert!(published.notes[0].contains("legacy"));
        provider.settle(&published, &quiet).await.unwrap();
    }

    for set in &foreign {
        assert!(bench.fake.sets().contains(set), "{set:?}");
    }

    let other = Bench::new(Options::default()).await;
    other.fake.edit(
        "CREATE",
        Set::simple(SERVICE, "CNAME", &["www.example.net."]),
    );

    let before = other.fake.sets();
    let error = publish(&other.provider().await, &plan(&other.config, 1, EVEN))
        .await
        .unwrap_err();

    assert!(
        matches!(&error, ProviderError::Blocked { .. }) && error.to_string().contains("CNAME"),
        "{error}"
    );

    assert_eq!(
        (other.fake.sets(), other.fake.checks().len()),
        (before, 0),
        "not even a health check was made"
    );
}

#[tokio::test]
async fn drift_is_reported_and_put_right() {
    let bench = Bench::new(Options::default()).await;
    let provider = bench.provider().await;
    let plan = plan(&bench.config, 1, EVEN);

    publish(&provider, &plan).await.unwrap();
    let service = bench.fake.sets_of(SERVICE);
    bench.fake.edit("DELETE", service[0].clone());
    bench.fake.edit(
        "UPSERT",
        Set {
            policy: Policy::Weighted(9),
            ttl: Some(300),
            ..service[1].clone()
        },
    );

    bench.fake.edit(
        "CREATE",
        Set::weighted(SERVICE, "A", &["192.0.2.9"], "regionmesh:mars", 1),
    );

    bench.fake.delete_check(service[2].check.as_ref().unwrap());

    let outlook = provider.preview(&plan).await.unwrap();
    assert!(outlook.is_drift);

    let kind = |difference: &regionmesh_dns::Difference| {
        (difference.wanted.is_some(), difference.found.is_some())
    };
    let kinds: BTreeMap<_, _> = outlook
        .differences
        .iter()
        .map(|difference| (difference.record.clone(), kind(difference)))
        .collect();
    let record = |region: &str| format!("{SERVICE} A [regionmesh:{region}]");

    let wanted = [
        (record("ap-south-1"), (true, false)),
        (record("eu-west-1"), (true, true)),
        (record("mars"), (false, true)),
        (record("us-west-2"), (true, true)),
    ];

    assert_eq!(kinds, wanted.into());
    assert_eq!(outlook.new_checks, ["us-west-2 as seen by the majority"]);

    let published = publish(&provider, &plan).await.unwrap();
    assert!(published.is_drift);
    provider.settle(&published, &quiet).await.unwrap();
    assert_eq!(
        bench.weights(),
        REGIONS.map(|region| (region.to_owned(), 255))
    );

    assert!(provider.preview(&plan).await.unwrap().is_done());
}

#[tokio::test]
async fn other_settings_make_other_checks_and_the_old_ones_go_after_the_records_moved() {
    let mut bench = Bench::new(Options::default()).await;
    publish(&bench.provider().await, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();

    let before: Vec<_> = bench
        .fake
        .checks()
        .iter()
        .map(|check| check.id.clone())
        .collect();

    bench
        .config
        .settings
        .route53
        .as_mut()
        .unwrap()
        .health_check
        .interval_s = 30;

    let provider = bench.provider().await;
    let published = publish(&provider, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();

    assert_eq!(
        bench.fake.checks().len(),
        18,
        "the old ones are there until the new ones are answered"
    );

    let settled = provider.settle(&published, &quiet).await.unwrap();
    assert_eq!(settled.deleted_checks.len(), 9);

    let after: Vec<_> = bench
        .fake
        .checks()
        .iter()
        .map(|check| check.id.clone())
        .collect();

    assert!(after.len() == 9 && after.iter().all(|id| !before.contains(id)));
    // And back: the caller references of the first ones are spent.
    bench
        .config
        .settings
        .route53
        .as_mut()
        .unwrap()
        .health_check
        .interval_s = 10;

    let provider = bench.provider().await;
    let published = publish(&provider, &plan(&bench.config, 2, EVEN))
        .await
        .unwrap();

    provider.settle(&published, &quiet).await.unwrap();
    assert_eq!(bench.fake.checks().len(), 9);
}

#[tokio::test]
async fn checks_are_left_alone_once_another_writer_came_after() {
    let mut bench = Bench::new(Options::default()).await;
    let before = bench.provider().await;
    publish(&before, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();
    bench
        .config
        .settings
        .route53
        .as_mut()
        .unwrap()
        .health_check
        .interval_s = 30;

    let provider = bench.provider().await;
    let published = publish(&provider, &plan(&bench.config, 2, EVEN))
        .await
        .unwrap();

    // An agent with the settings of before leads now: its records follow the checks of before.
    publish(&before, &plan(&bench.config, 3, EVEN))
        .await
        .unwrap();

    let decisive: Vec<_> = bench
        .fake
        .sets_of(SERVICE)
        .iter()
        .map(|set| set.check.clone().unwrap())
        .collect();
    let settled = provider.settle(&published, &quiet).await;

    assert!(
        settled.is_err(),
        "the name servers answer the other's fence"
    );

    let checks = bench.fake.checks();
    assert_eq!(checks.len(), 18);
    assert!(
        decisive
            .iter()
            .all(|id| checks.iter().any(|check| check.id == *id))
    );
}

#[tokio::test]
async fn a_change_of_the_kind_of_records_is_one_batch() {
    let mut bench = Bench::new(Options::default()).await;
    publish(&bench.provider().await, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();

    for (seq, kind) in (2..).zip([
        RecordKind::Latency,
        RecordKind::Failover,
        RecordKind::Weighted,
    ]) {
        bench.config.settings.route53.as_mut().unwrap().records = kind;
        let provider = bench.provider().await;
        let published = publish(&provider, &plan(&bench.config, seq, EVEN))
            .await
            .unwrap();

        assert_eq!(published.batches, 1);
        provider.settle(&published, &quiet).await.unwrap();

        let policies: Vec<_> = bench
            .fake
            .sets_of(SERVICE)
            .iter()
            .map(|set| set.policy.clone())
            .collect();

        match kind {
            RecordKind::Weighted => assert_eq!(policies, vec![Policy::Weighted(255); 3]),
            RecordKind::Failover => {
                assert_eq!(policies, [Policy::Failover(true), Policy::Failover(false)])
            }
            RecordKind::Latency => assert_eq!(
                policies,
                REGIONS.map(|region| Policy::Latency(region.into()))
            ),
        }
    }
}

#[tokio::test]
async fn a_region_that_leaves_the_mesh_leaves_the_zone() {
    let bench = Bench::new(Options::default()).await;
    publish(&bench.provider().await, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();

    let mut config = bench.config.clone();
    config
        .regions
        .retain(|region| region.name.as_str() != "ap-south-1");

    let provider = provider(&config, seconds(1)).await;
    let mut smaller = plan(&bench.config, 2, EVEN);
    smaller
        .plan
        .regions
        .retain(|name, _| name.as_str() != "ap-south-1");

    let published = publish(&provider, &smaller).await.unwrap();
    provider.settle(&published, &quiet).await.unwrap();
    assert_eq!(bench.weights().len(), 2);
    assert!(
        bench
            .fake
            .sets_of("ap-south-1.serving.ml.example.com.")
            .is_empty()
    );

    assert_eq!(bench.fake.checks().len(), 2 * 2 + 2);
}

#[tokio::test]
async fn a_small_page_size_and_the_old_form_of_errors_change_nothing() {
    let options = Options {
        records_page: 1,
        checks_page: 2,
        has_bare_batch_errors: true,
        ..Options::default()
    };
    let bench = Bench::new(options).await;

    publish(&bench.provider().await, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();

    // Two writers at once: whichever comes second is refused in the old form, and reads again.
    let one = bench.provider().await;
    let two = bench.provider().await;
    let three = plan(&bench.config, 3, EVEN);
    let four = plan(&bench.config, 4, [0, 10_000, 10_000]);
    let (one, two) = tokio::join!(publish(&one, &three), publish(&two, &four));

    assert!(two.is_ok(), "{:?}", two.err());
    assert!(
        one.is_ok() || matches!(one, Err(ProviderError::Fenced { .. })),
        "{:?}",
        one.err()
    );

    assert_eq!(bench.weights()[0].1, 0);
}

#[tokio::test]
async fn a_zone_that_is_not_ours_is_refused_with_advice() {
    let mut bench = Bench::new(Options::default()).await;
    bench.config.settings.zone = "ml.example.net".into();

    let error = publish(&bench.provider().await, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("dns.route53.zone_id"), "{error}");
    bench.config.settings.route53.as_mut().unwrap().zone_id = "ZOTHER".into();

    let error = publish(&bench.provider().await, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("NoSuchHostedZone"), "{error}");
}

#[tokio::test]
async fn name_servers_that_do_not_answer_the_plan_are_told_of() {
    let bench = Bench::new(Options {
        in_sync: seconds(3_600),
        ..Options::default()
    })
    .await;
    let timeout = Timeouts {
        in_sync: Duration::from_millis(300),
        poll: Duration::from_millis(50),
        visible: Duration::from_millis(900),
        ..Timeouts::default()
    };

    let metrics = ProviderMetrics::new(&prometheus::Registry::new()).unwrap();
    let provider = Route53::new(
        &bench.config,
        section(&bench.config),
        client(&bench.fake.url(), seconds(1)).await,
        timeout,
        metrics,
    );
    let mut published = publish(&provider, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();
    let error = provider.settle(&published, &quiet).await.unwrap_err();

    assert!(
        matches!(error, ProviderError::NotYetVisible { .. })
            && error.to_string().contains("change"),
        "{error}"
    );

    published.receipt.changes.clear();
    let error = provider.settle(&published, &quiet).await.unwrap_err();
    assert!(error.to_string().contains("instead of"), "{error}");
}
