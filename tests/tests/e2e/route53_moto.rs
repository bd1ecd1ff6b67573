//! The provider against moto, a third party's imitation of AWS: do others read what we write, and
//! we what others write?
//!
//! The same cases run against the strict fake and against moto 5.2. Rules that moto breaks are
//! listed by name in [`BROKEN_IN_MOTO`], are skipped for it, and are seen to be broken still: one
//! that is fixed comes off the list.

mod servers;

use aws_sdk_route53::{
    Client,
    types::{
        Change, ChangeAction, ChangeBatch, HealthCheckType, ResourceRecord, ResourceRecordSet,
        RrType,
    },
};
use futures::{FutureExt, future::BoxFuture};
use regionmesh_dns::{Config, DnsProvider, ProviderError, RecordKind, first_plan};
use regionmesh_tests::{
    route53::bench::{EVEN, FENCE, REGIONS, SERVICE, plan, provider, publish, quiet},
    wait::seconds,
};

/// One server, one zone.
struct Bench {
    client: Client,
    config: Config,
    zone_id: String,
}

type Case = (&'static str, fn(Bench) -> BoxFuture<'static, ()>);

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        /// Every case.
        const CASES: &[Case] = &[$((stringify!($name), |bench| $name(bench).boxed())),*];
    };
}

cases![
    a_first_set_up_reads_back_as_written,
    applying_twice_writes_once,
    weights_follow_a_ramp,
    a_stale_plan_is_refused,
    drift_is_corrected,
    a_changed_routing_policy_is_applied,
    changed_settings_create_new_checks_and_delete_the_old_ones,
    a_delete_of_former_values_is_refused,
    a_create_of_what_exists_is_refused,
    a_refused_batch_changes_nothing,
    a_stale_fence_swap_is_refused,
];

impl Bench {
    async fn sets(&self) -> Vec<ResourceRecordSet> {
        let page = self
            .client
            .list_resource_record_sets()
            .hosted_zone_id(&self.zone_id)
            .send()
            .await
            .unwrap();

        assert!(!page.is_truncated());
        page.resource_record_sets().to_vec()
    }

    async fn weights(&self) -> Vec<i64> {
        self.sets()
            .await
            .iter()
            .filter(|set| set.name() == SERVICE)
            .filter_map(ResourceRecordSet::weight)
            .collect()
    }

    /// Whether the fence names that plan; the order of values means nothing.
    async fn is_written_from(&self, plan: &str) -> bool {
        let fence = self.fence().await;
        fence
            .resource_records()
            .iter()
            .any(|record| record.value().starts_with(&format!("\"v1 {plan} ")))
    }

    async fn fence(&self) -> ResourceRecordSet {
        self.sets()
            .await
            .into_iter()
            .find(|set| set.name() == FENCE)
            .unwrap()
    }

    async fn change(&self, changes: &[(ChangeAction, ResourceRecordSet)]) -> bool {
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

        self.client
            .change_resource_record_sets()
            .hosted_zone_id(&self.zone_id)
            .change_batch(batch)
            .send()
            .await
            .is_ok()
    }
}

fn text(name: &str, value: &str) -> ResourceRecordSet {
    let record = ResourceRecord::builder()
        .value(format!("\"{value}\""))
        .build()
        .unwrap();

    ResourceRecordSet::builder()
        .name(name)
        .r#type(RrType::Txt)
        .ttl(30)
        .resource_records(record)
        .build()
        .unwrap()
}

async fn a_first_set_up_reads_back_as_written(bench: Bench) {
    let provider = provider(&bench.config, seconds(10)).await;
    let published = publish(&provider, &first_plan(&bench.config, 1))
        .await
        .unwrap();
    let settled = provider
        .await_propagation(&published, &quiet)
        .await
        .unwrap();

    assert!(settled.in_sync_ms.is_some());
    assert_eq!(bench.weights().await, [255, 255, 255]);
    assert!(bench.is_written_from("0 0 us-west-2/node-0").await);

    let sets = bench.sets().await;
    for region in REGIONS {
        let own = sets
            .iter()
            .find(|set| set.name() == format!("{region}.{SERVICE}"))
            .unwrap();

        assert_eq!(
            (own.weight(), own.set_identifier(), own.ttl()),
            (None, None, Some(30))
        );

        let shared = sets
            .iter()
            .find(|set| set.set_identifier() == Some(&format!("regionmesh:{region}")))
            .unwrap();

        assert_eq!(shared.resource_records(), own.resource_records());
        let check = bench
            .client
            .get_health_check()
            .health_check_id(shared.health_check_id().unwrap())
            .send()
            .await
            .unwrap();
        let decisive = check.health_check().unwrap().health_check_config().unwrap();

        assert_eq!(
            (decisive.r#type(), decisive.health_threshold()),
            (&HealthCheckType::Calculated, Some(1))
        );

        assert_eq!(decisive.child_health_checks().len(), 2);
        for child in decisive.child_health_checks() {
            let child = bench
                .client
                .get_health_check()
                .health_check_id(child)
                .send()
                .await
                .unwrap();
            let poll = child.health_check().unwrap().health_check_config().unwrap();

            assert_eq!(
                poll.resource_path(),
                Some(format!("/verdict/{region}").as_str())
            );

            let host = poll.fully_qualified_domain_name().unwrap();
            assert!(
                host.starts_with("agents.") && !host.contains(region),
                "{host}"
            );
        }
    }
}

async fn applying_twice_writes_once(bench: Bench) {
    let provider = provider(&bench.config, seconds(10)).await;
    let plan = plan(&bench.config, 1, EVEN);
    publish(&provider, &plan).await.unwrap();

    let before = bench.sets().await;
    let again = publish(&provider, &plan).await.unwrap();
    assert_eq!(
        (
            again.batches,
            again.new_checks.len(),
            again.differences.len()
        ),
        (0, 0, 0),
        "{:?}",
        again.differences
    );

    assert!(provider.preview(&plan).await.unwrap().is_done());
    assert_eq!(bench.sets().await, before);
}

async fn weights_follow_a_ramp(bench: Bench) {
    let provider = provider(&bench.config, seconds(10)).await;
    for (seq, (bp, weight)) in (1..).zip([(0, 0), (100, 3), (5_000, 128), (10_000, 255)]) {
        publish(&provider, &plan(&bench.config, seq, [10_000, 10_000, bp]))
            .await
            .unwrap();
        assert_eq!(bench.weights().await, [255, 255, weight]);
        assert!(bench.is_written_from(&format!("4 {seq}")).await);
    }
}

async fn a_stale_plan_is_refused(bench: Bench) {
    let provider = provider(&bench.config, seconds(10)).await;
    publish(&provider, &plan(&bench.config, 7, EVEN))
        .await
        .unwrap();

    let before = bench.sets().await;
    let refused = publish(&provider, &plan(&bench.config, 6, [0, 10_000, 10_000]))
        .await
        .unwrap_err();

    assert!(matches!(refused, ProviderError::Fenced { .. }), "{refused}");
    assert_eq!(bench.sets().await, before);
}

async fn drift_is_corrected(bench: Bench) {
    let provider = provider(&bench.config, seconds(10)).await;
    let plan = plan(&bench.config, 1, EVEN);
    publish(&provider, &plan).await.unwrap();

    let before = bench.sets().await;
    let foreign = text("www.ml.example.com.", "theirs");
    let mut altered = before
        .iter()
        .find(|set| set.name() == SERVICE)
        .unwrap()
        .clone();

    altered.weight = Some(1);
    assert!(
        bench
            .change(&[
                (ChangeAction::Upsert, altered),
                (ChangeAction::Create, foreign.clone())
            ])
            .await
    );

    let preview = provider.preview(&plan).await.unwrap();
    assert!(
        preview.is_drift && preview.differences.len() == 1,
        "{:?}",
        preview.differences
    );

    publish(&provider, &plan).await.unwrap();
    assert_eq!(bench.weights().await, [255, 255, 255]);
    assert!(bench.sets().await.contains(&foreign));
}

async fn a_changed_routing_policy_is_applied(mut bench: Bench) {
    for (seq, kind) in (1..).zip([
        RecordKind::Weighted,
        RecordKind::Latency,
        RecordKind::Failover,
    ]) {
        bench.config.settings.route53.as_mut().unwrap().records = kind;
        let provider = provider(&bench.config, seconds(10)).await;
        let plan = plan(&bench.config, seq, EVEN);

        publish(&provider, &plan).await.unwrap();
        assert!(provider.preview(&plan).await.unwrap().is_done(), "{kind:?}");

        let service: Vec<_> = bench
            .sets()
            .await
            .into_iter()
            .filter(|set| set.name() == SERVICE)
            .collect();
        let count =
            |is: fn(&ResourceRecordSet) -> bool| service.iter().filter(|set| is(set)).count();
        let found = [
            count(|set| set.weight().is_some()),
            count(|set| set.region().is_some()),
            count(|set| set.failover().is_some()),
        ];

        let wanted = match kind {
            RecordKind::Weighted => [3, 0, 0],
            RecordKind::Latency => [0, 3, 0],
            RecordKind::Failover => [0, 0, 2],
        };

        assert_eq!(found, wanted, "{kind:?}");
    }
}

async fn changed_settings_create_new_checks_and_delete_the_old_ones(mut bench: Bench) {
    let ids = async |bench: &Bench| -> Vec<String> {
        let page = bench.client.list_health_checks().send().await.unwrap();
        let decisive: Vec<_> = bench
            .sets()
            .await
            .iter()
            .filter_map(|set| set.health_check_id().map(str::to_owned))
            .collect();

        page.health_checks()
            .iter()
            .map(|check| check.id().to_owned())
            .filter(|id| decisive.contains(id))
            .collect()
    };

    publish(
        &provider(&bench.config, seconds(10)).await,
        &plan(&bench.config, 1, EVEN),
    )
    .await
    .unwrap();

    let before = ids(&bench).await;
    bench
        .config
        .settings
        .route53
        .as_mut()
        .unwrap()
        .health_check
        .interval_s = 30;

    let provider = provider(&bench.config, seconds(10)).await;
    let published = publish(&provider, &plan(&bench.config, 2, EVEN))
        .await
        .unwrap();
    let settled = provider
        .await_propagation(&published, &quiet)
        .await
        .unwrap();

    assert_eq!(settled.deleted_checks.len(), 9);
    let after = ids(&bench).await;
    assert!(before.len() == 3 && after.len() == 3 && after.iter().all(|id| !before.contains(id)));
}

async fn a_delete_of_former_values_is_refused(bench: Bench) {
    assert!(
        bench
            .change(&[(ChangeAction::Create, text("one.example.com.", "a"))])
            .await
    );

    assert!(
        bench
            .change(&[(ChangeAction::Upsert, text("one.example.com.", "b"))])
            .await
    );

    assert!(
        !bench
            .change(&[(ChangeAction::Delete, text("one.example.com.", "a"))])
            .await,
        "it was deleted"
    );
}

async fn a_create_of_what_exists_is_refused(bench: Bench) {
    assert!(
        bench
            .change(&[(ChangeAction::Create, text("one.example.com.", "a"))])
            .await
    );

    assert!(
        !bench
            .change(&[(ChangeAction::Create, text("one.example.com.", "b"))])
            .await,
        "it was created twice"
    );
}

async fn a_refused_batch_changes_nothing(bench: Bench) {
    let before = bench.sets().await;
    let create = |name| (ChangeAction::Create, text(name, "a"));
    assert!(
        !bench
            .change(&[create("one.example.com."), create("elsewhere.example.net.")])
            .await
    );

    assert_eq!(bench.sets().await, before, "half of it was done");
}

async fn a_stale_fence_swap_is_refused(bench: Bench) {
    let provider = provider(&bench.config, seconds(10)).await;
    publish(&provider, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();

    let seen = bench.fence().await;
    publish(&provider, &plan(&bench.config, 2, EVEN))
        .await
        .unwrap();

    let before = bench.sets().await;
    let swap = [
        (ChangeAction::Delete, seen),
        (ChangeAction::Create, text(FENCE, "v1 4 1 eu-west-1/old n")),
        (ChangeAction::Upsert, text("evil.ml.example.com.", "stale")),
    ];

    assert!(!bench.change(&swap).await, "a stale swap succeeded");
    assert_eq!(bench.sets().await, before);
}
