//! Requests and answers that are lost, late or refused for now.

use regionmesh_dns::{
    DnsProvider, ProviderError,
    route53::{ProviderMetrics, Route53, Timeouts},
};
use regionmesh_tests::{
    route53::{
        Fault, Options,
        bench::{Bench, EVEN, plan, publish, quiet, section},
        client,
    },
    wait::{claim, seconds, until},
};
use std::time::Duration;

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
    // Its change has no known ID, but the name servers answer it.
    provider
        .await_propagation(&published, &quiet)
        .await
        .unwrap();
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
async fn a_delayed_request_is_applied_once() {
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
async fn requests_refused_for_now_are_retried() {
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
    provider
        .await_propagation(&published, &quiet)
        .await
        .unwrap();
    assert_eq!((bench.fake.checks().len(), bench.weights().len()), (9, 3));
    assert_eq!(bench.fake.count("ChangeResourceRecordSets", "ok"), 1);
}

#[tokio::test]
async fn the_accounts_rate_is_respected() {
    let mut bench = Bench::new(Options {
        requests_per_second: 5,
        ..Options::default()
    })
    .await;

    bench.settings().requests_per_second = 5;

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
async fn the_operation_timeout_ends_retries_and_is_reported() {
    let bench = Bench::new(Options::default()).await;
    let timeouts = Timeouts {
        operation: Duration::from_millis(600),
        ..Timeouts::default()
    };
    let metrics = ProviderMetrics::new(&regionmesh_runtime::metrics::Registry::new()).unwrap();
    let url = bench.fake.url();
    let provider = Route53::new(
        &bench.config,
        section(&bench.config),
        client(&url, seconds(1)).await,
        timeouts,
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

    // Two concurrent writers: the second is refused in the old form, and reads again.
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
    bench.settings().zone_id = "ZOTHER".into();

    let error = publish(&bench.provider().await, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("NoSuchHostedZone"), "{error}");
}

#[tokio::test]
async fn name_servers_that_do_not_answer_the_plan_are_reported() {
    let bench = Bench::new(Options {
        in_sync: seconds(3_600),
        ..Options::default()
    })
    .await;
    let timeouts = Timeouts {
        in_sync: Duration::from_millis(300),
        poll: Duration::from_millis(50),
        visible: Duration::from_millis(900),
        ..Timeouts::default()
    };

    let metrics = ProviderMetrics::new(&regionmesh_runtime::metrics::Registry::new()).unwrap();
    let provider = Route53::new(
        &bench.config,
        section(&bench.config),
        client(&bench.fake.url(), seconds(1)).await,
        timeouts,
        metrics,
    );
    let mut published = publish(&provider, &plan(&bench.config, 1, EVEN))
        .await
        .unwrap();
    let error = provider
        .await_propagation(&published, &quiet)
        .await
        .unwrap_err();

    assert!(
        matches!(error, ProviderError::NotYetVisible { .. })
            && error.to_string().contains("change"),
        "{error}"
    );

    published.receipt.changes.clear();
    let error = provider
        .await_propagation(&published, &quiet)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("instead of"), "{error}");
}
