//! Other contents of a zone: foreign records, drift, health checks of earlier settings.

use regionmesh_dns::{DnsProvider, ProviderError, RecordKind};
use regionmesh_tests::{
    route53::{
        Options, Policy, Set,
        bench::{Bench, EVEN, REGIONS, SERVICE, plan, provider, publish, quiet},
    },
    wait::seconds,
};
use std::collections::BTreeMap;

#[tokio::test]
async fn foreign_records_stay_and_a_conflicting_record_stops_the_write() {
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
        provider
            .await_propagation(&published, &quiet)
            .await
            .unwrap();
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
async fn drift_is_reported_and_corrected() {
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

    let preview = provider.preview(&plan).await.unwrap();
    assert!(preview.is_drift);

    let kind = |difference: &regionmesh_dns::Difference| {
        (difference.wanted.is_some(), difference.found.is_some())
    };
    let kinds: BTreeMap<_, _> = preview
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
    assert_eq!(preview.new_checks, ["us-west-2 as seen by the majority"]);

    let published = publish(&provider, &plan).await.unwrap();
    assert!(published.is_drift);
    provider
        .await_propagation(&published, &quiet)
        .await
        .unwrap();
    assert_eq!(
        bench.weights(),
        REGIONS.map(|region| (region.to_owned(), 255))
    );

    assert!(provider.preview(&plan).await.unwrap().is_done());
}

#[tokio::test]
async fn changed_settings_create_new_checks_and_delete_the_old_ones_afterwards() {
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

    bench.settings().health_check.interval_s = 30;

    let provider = bench.provider().await;
    let published = publish(&provider, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();

    assert_eq!(
        bench.fake.checks().len(),
        18,
        "the old ones are there until the new ones are answered"
    );

    let settled = provider
        .await_propagation(&published, &quiet)
        .await
        .unwrap();
    assert_eq!(settled.deleted_checks.len(), 9);

    let after: Vec<_> = bench
        .fake
        .checks()
        .iter()
        .map(|check| check.id.clone())
        .collect();

    assert!(after.len() == 9 && after.iter().all(|id| !before.contains(id)));
    // And back: the caller references of the first ones are spent.
    bench.settings().health_check.interval_s = 10;

    let provider = bench.provider().await;
    let published = publish(&provider, &plan(&bench.config, 2, EVEN))
        .await
        .unwrap();

    provider
        .await_propagation(&published, &quiet)
        .await
        .unwrap();
    assert_eq!(bench.fake.checks().len(), 9);
}

#[tokio::test]
async fn checks_are_not_deleted_after_another_writer_took_over() {
    let mut bench = Bench::new(Options::default()).await;
    let before = bench.provider().await;
    publish(&before, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();
    bench.settings().health_check.interval_s = 30;

    let provider = bench.provider().await;
    let published = publish(&provider, &plan(&bench.config, 2, EVEN))
        .await
        .unwrap();

    // An agent with the old settings leads now: its records use the old checks.
    publish(&before, &plan(&bench.config, 3, EVEN))
        .await
        .unwrap();

    let decisive: Vec<_> = bench
        .fake
        .sets_of(SERVICE)
        .iter()
        .map(|set| set.check.clone().unwrap())
        .collect();
    let settled = provider.await_propagation(&published, &quiet).await;

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
async fn changing_the_routing_policy_takes_one_batch() {
    let mut bench = Bench::new(Options::default()).await;
    publish(&bench.provider().await, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();

    for (seq, kind) in (2..).zip([
        RecordKind::Latency,
        RecordKind::Failover,
        RecordKind::Weighted,
    ]) {
        bench.settings().records = kind;
        let provider = bench.provider().await;
        let published = publish(&provider, &plan(&bench.config, seq, EVEN))
            .await
            .unwrap();

        assert_eq!(published.batches, 1);
        provider
            .await_propagation(&published, &quiet)
            .await
            .unwrap();

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
    provider
        .await_propagation(&published, &quiet)
        .await
        .unwrap();
    assert_eq!(bench.weights().len(), 2);
    assert!(
        bench
            .fake
            .sets_of("ap-south-1.serving.ml.example.com.")
            .is_empty()
    );

    assert_eq!(bench.fake.checks().len(), 2 * 2 + 2);
}
