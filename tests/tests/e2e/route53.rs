//! The Route 53 provider against the strict fake: fences, races, lost answers, throttling, drift.

mod contents;
mod faults;

use regionmesh_dns::{DnsProvider, ProviderError, first_plan};
use regionmesh_tests::{
    route53::{
        CheckKind, Fault, Options, Policy, Set, ZONE_ID,
        bench::{Bench, EVEN, FENCE, REGIONS, SERVICE, plan, publish, quiet},
        client,
    },
    wait::{claim, seconds, until},
};
use std::time::Duration;

#[tokio::test]
async fn a_first_setup_creates_records_checks_and_fence_and_is_answered() {
    let bench = Bench::new(Options::default()).await;
    let provider = bench.provider().await;
    let first = first_plan(&bench.config, 1);
    let preview = provider.preview(&first).await.unwrap();

    assert_eq!(
        (
            preview.new_checks.len(),
            preview.batches,
            preview.written_from
        ),
        (9, 1, None)
    );

    assert!(
        bench.fake.checks().is_empty() && bench.fake.sets().len() == 2,
        "a preview changes nothing"
    );

    let published = publish(&provider, &first).await.unwrap();
    let settled = provider
        .await_propagation(&published, &quiet)
        .await
        .unwrap();
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

    assert_checks(&bench);
}

fn assert_checks(bench: &Bench) {
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
    provider.await_propagation(&again, &quiet).await.unwrap();
}

#[tokio::test]
async fn weights_track_the_ramp_and_the_fence_tracks_each_plan() {
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

        provider
            .await_propagation(&published, &quiet)
            .await
            .unwrap();
    }

    // A plan that changes no record moves the fence all the same.
    publish(&provider, &plan(&bench.config, 9, EVEN))
        .await
        .unwrap();
    assert!(bench.fence().starts_with("\"v1 4 9 "));
}

#[tokio::test]
async fn a_stale_plan_changes_nothing_and_the_reason_is_reported() {
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
async fn a_stale_writers_batch_is_refused_as_a_whole() {
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
async fn of_racing_writers_the_latest_plan_wins_and_batches_do_not_mix() {
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
        // Both have read the same fence, and write their batches by hand, without reading again.
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
