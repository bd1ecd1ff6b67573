//! Record sets and batches, by example.

use super::*;

fn ip(last: u8) -> Vec<IpAddr> {
    vec![IpAddr::from([198, 51, 100, last])]
}

#[test]
fn failover_answers_the_active_region_and_falls_back_to_the_next_in_order() {
    let settings = settings(3, RecordKind::Failover);
    let plan = committed(1, 1, &[(0, ip(1)), (10_000, ip(2)), (0, ip(3))]);
    let sets = wanted(&settings, &plan, &checks(3)).unwrap();
    let roles: Vec<_> = sets
        .iter()
        .filter(|set| set.name == settings.service_name())
        .map(|set| (set.values[0].clone(), set.routing.to_string()))
        .collect();

    assert_eq!(
        roles,
        [
            ("198.51.100.2".into(), "primary".into()),
            ("198.51.100.1".into(), "secondary".into())
        ]
    );
}

#[test]
fn latency_leaves_out_regions_without_a_share() {
    let settings = settings(3, RecordKind::Latency);
    let plan = committed(1, 1, &[(5_000, ip(1)), (0, ip(2)), (5_000, ip(3))]);
    let sets = wanted(&settings, &plan, &checks(3)).unwrap();
    let near: BTreeSet<_> = sets
        .iter()
        .filter(|set| set.name == settings.service_name())
        .map(|set| set.routing.to_string())
        .collect();

    assert_eq!(
        near,
        [
            "latency us-west-2".to_owned(),
            "latency ap-south-1".to_owned()
        ]
        .into()
    );
}

#[test]
fn an_address_family_without_a_serving_region_gets_no_records() {
    let settings = settings(2, RecordKind::Weighted);
    let v6 = vec![IpAddr::from([0x2a00, 1, 0, 0, 0, 0, 0, 1])];
    let plan = committed(1, 1, &[(10_000, ip(1)), (0, v6)]);
    let sets = wanted(&settings, &plan, &checks(2)).unwrap();

    assert!(
        sets.iter()
            .all(|set| set.name != settings.service_name() || set.record_type == "A")
    );

    assert!(
        sets.iter()
            .any(|set| set.name == settings.region_name("region-1") && set.record_type == "AAAA")
    );
}

#[test]
fn blocking_foreign_records_stop_the_write_and_harmless_ones_are_reported() {
    let settings = settings(2, RecordKind::Weighted);
    let mut nonce = 0;
    let plan = committed(1, 1, &[(10_000, ip(1)), (10_000, ip(2))]);
    let set = |name: String, record_type: &str, routing| RecordSet {
        name,
        record_type: record_type.into(),
        routing,
        ttl_s: Some(60),
        values: vec!["192.0.2.1".into()],
        health_check: None,
        has_other_parts: false,
    };

    for blocking in [
        set(settings.service_name(), "A", Routing::Simple),
        set(settings.service_name(), "CNAME", Routing::Simple),
        set(
            settings.service_name(),
            "A",
            Routing::Failover {
                id: "x".into(),
                is_primary: true,
            },
        ),
        set(settings.region_name("region-1"), "A", Routing::Simple),
    ] {
        let refused = planned(
            &settings,
            &plan,
            std::slice::from_ref(&blocking),
            &mut nonce,
        );
        let Err(Refusal::Occupied(names)) = refused else {
            panic!("{blocking}: {refused:?}")
        };

        assert_eq!(names, [blocking.to_string()]);
    }

    let neighbour = set(
        settings.service_name(),
        "A",
        Routing::Weighted {
            id: "legacy".into(),
            weight: 9,
        },
    );
    let plan = planned(&settings, &plan, &[neighbour], &mut nonce).unwrap();

    assert_eq!((plan.notes.len(), plan.batches.len()), (1, 1));
}

#[test]
fn a_foreign_record_in_place_of_the_fence_stops_the_write() {
    let settings = settings(1, RecordKind::Weighted);
    let mut nonce = 0;
    let plan = committed(1, 1, &[(10_000, ip(1))]);
    let mut record = Fence::new(&plan.stamp, "n".into(), BTreeSet::new()).record(&settings);

    record.values = vec!["\"v=spf1 -all\"".into()];
    let refused = planned(&settings, &plan, &[record], &mut nonce);
    assert!(matches!(refused, Err(Refusal::NoFence(_))), "{refused:?}");
}

#[test]
fn large_changes_are_split_into_fenced_batches() {
    let settings = settings(6, RecordKind::Weighted);
    let mut nonce = 0;

    // 60 addresses in each of 6 regions: 360 values of the service, and as many of the regions.
    let many = |region: u8| {
        (0..240u8)
            .map(|last| IpAddr::from([198, 51, region, last]))
            .collect::<Vec<_>>()
    };
    let regions: Vec<_> = (0..3).map(|index| (10_000, many(index))).collect();
    let plan = planned(&settings, &committed(1, 1, &regions), &[], &mut nonce).unwrap();

    assert!(plan.batches.len() > 1, "{}", plan.batches.len());
    let mut zone = Vec::new();
    for batch in &plan.batches {
        let sum: usize = batch.changes.iter().map(|change| cost(change).0).sum();
        assert!(sum <= BATCH_RECORDS_MAX);
        zone = write(&zone, batch).unwrap();
    }

    assert!(
        planned(&settings, &committed(1, 1, &regions), &zone, &mut nonce)
            .unwrap()
            .batches
            .is_empty()
    );

    // Interrupted after the first batch; the next writer continues from there.
    let half = write(&[], &plan.batches[0]).unwrap();
    let rest = planned(&settings, &committed(1, 2, &regions), &half, &mut nonce).unwrap();
    let mut zone = half;

    for batch in &rest.batches {
        zone = write(&zone, batch).unwrap();
    }

    let regions: Vec<_> = (0..5).map(|index| (10_000, many(index))).collect();
    let refused = planned(&settings, &committed(1, 3, &regions), &[], &mut nonce);
    assert!(
        matches!(refused, Err(Refusal::TooLarge { .. })),
        "{refused:?}"
    );

    assert_eq!(set_identifier(&region(1)), "regionmesh:region-1");
}

#[test]
fn the_fence_has_its_documented_format() {
    let stamp = Stamp {
        ballot: Ballot {
            number: 4,
            agent: "us-west-2/node-0".parse().unwrap(),
            boot: 0,
        },
        seq: 12,
    };
    let fence = Fence::new(&stamp, "9f86d081".into(), ["us-west-2".to_owned()].into());

    assert_eq!(fence.to_string(), "v1 4 12 us-west-2/node-0 9f86d081");
}
