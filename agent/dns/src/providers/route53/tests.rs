//! Laws of the planning, against a zone that obeys Route 53's rules for batches.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::{
    changes::{
        Action, BATCH_CHARACTERS_MAX, BATCH_RECORDS_MAX, Batch, Refusal, ZonePlan, cost, plan_zone,
        read_fence,
    },
    checks::{
        CheckConfig, CheckPlan, FoundCheck, WantedCheck, is_own, observers, plan_checks, threshold,
    },
    fence::Fence,
    records::{RecordSet, Routing},
    settings::{RegionSettings, Settings, set_identifier},
    wanted::wanted,
};
use crate::config::{HealthCheckConfig, RecordKind};
use proptest::prelude::*;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{CommittedPlan, Plan, RegionPlan, TrafficState},
    register::ballot::{Ballot, Stamp},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

const AWS_REGIONS: [&str; 6] = [
    "us-west-2",
    "eu-west-1",
    "ap-south-1",
    "us-east-1",
    "eu-west-1",
    "sa-east-1",
];

fn region(index: usize) -> RegionName {
    format!("region-{index}").parse().unwrap()
}

fn settings(regions: usize, records: RecordKind) -> Settings {
    let region = |index: usize| RegionSettings {
        name: region(index),
        priority: index as u16,
        agent_host: format!("agents-{index}.example.com"),
        latency_region: AWS_REGIONS[index % 6].into(),
    };

    Settings {
        mesh: "mesh.example.com".into(),
        zone: "ml.example.com.".into(),
        zone_id: "Z1".into(),
        ttl_s: 30,
        records,
        regions: (0..regions).map(region).collect(),
        health_check: HealthCheckConfig::default(),
    }
}

fn committed(number: u64, seq: u64, regions: &[(u16, Vec<IpAddr>)]) -> CommittedPlan {
    let planned = |(index, (weight_bp, addresses)): (usize, &(u16, Vec<IpAddr>))| {
        let plan = RegionPlan {
            weight_bp: *weight_bp,
            traffic_state: if *weight_bp == 0 {
                TrafficState::Out { since_ms: 1 }
            } else {
                TrafficState::Serving
            },
            addresses: addresses.clone(),
            ..RegionPlan::default()
        };

        (region(index), plan)
    };

    let ballot = Ballot {
        number,
        agent: "region-0/a".parse().unwrap(),
        boot: 7,
    };
    let plan = Plan {
        regions: regions.iter().enumerate().map(planned).collect(),
        ..Plan::default()
    };

    CommittedPlan {
        stamp: Stamp { ballot, seq },
        plan,
    }
}

fn checks(count: usize) -> BTreeMap<RegionName, String> {
    (0..count)
        .map(|index| (region(index), format!("check-{index}")))
        .collect()
}

/// All changes, or none: DELETE must match exactly, CREATE must not meet anything, one name and
/// type has one policy.
fn write(zone: &[RecordSet], batch: &Batch) -> Result<Vec<RecordSet>, String> {
    let mut next = zone.to_vec();
    for change in &batch.changes {
        let set = &change.set;
        let at = next.iter().position(|other| other.key() == set.key());
        match (change.action, at) {
            (Action::Delete, Some(at)) if next[at].is_same(set) => drop(next.remove(at)),
            (Action::Delete, _) => return Err(format!("{set} is not so")),
            (Action::Create, Some(_)) => return Err(format!("{set} exists")),
            (Action::Create | Action::Upsert, at) => {
                if let Some(at) = at {
                    next.remove(at);
                }

                let clash = next.iter().find(|other| {
                    (&other.name, &other.record_type) == (&set.name, &set.record_type)
                        && (!other.routing.is_same_policy(&set.routing)
                            || other.routing.takes_the_place_of(&set.routing))
                });

                if let Some(clash) = clash {
                    return Err(format!(
                        "{set} can't stand beside {clash} ({})",
                        clash.routing
                    ));
                }

                next.push(set.clone());
            }
        }
    }

    Ok(next)
}

fn foreign_zone() -> Vec<RecordSet> {
    let set = |name: &str, record_type: &str, routing, value: &str| RecordSet {
        name: name.into(),
        record_type: record_type.into(),
        routing,
        ttl_s: Some(300),
        values: vec![value.into()],
        health_check: None,
        has_other_parts: false,
    };

    vec![
        set("ml.example.com.", "NS", Routing::Simple, "ns.example.com."),
        set("www.ml.example.com.", "A", Routing::Simple, "192.0.2.1"),
        set(
            "stranger.serving.ml.example.com.",
            "A",
            Routing::Simple,
            "192.0.2.2",
        ),
        set(
            "serving.ml.example.com.",
            "TXT",
            Routing::Simple,
            "\"theirs\"",
        ),
        set(
            "x.region-0.serving.ml.example.com.",
            "A",
            Routing::Simple,
            "192.0.2.3",
        ),
        set(
            "www.ml.example.com.",
            "AAAA",
            Routing::Weighted {
                id: "regionmesh:region-0".into(),
                weight: 1,
            },
            "2001:db8::1",
        ),
    ]
}

fn planned(
    settings: &Settings,
    plan: &CommittedPlan,
    zone: &[RecordSet],
    nonce: &mut u64,
) -> Result<ZonePlan, Refusal> {
    plan_zone(settings, plan, zone, &checks(8), || {
        *nonce += 1;
        format!("n{nonce}")
    })
}

fn addresses() -> impl Strategy<Value = Vec<IpAddr>> {
    prop::collection::vec(
        prop_oneof![
            (1..250u8).prop_map(|last| IpAddr::from([198, 51, 100, last])),
            (1..250u16).prop_map(|last| IpAddr::from([0x2a00, 1, 0, 0, 0, 0, 0, last])),
        ],
        0..4,
    )
}

fn regions() -> impl Strategy<Value = Vec<(u16, Vec<IpAddr>)>> {
    prop::collection::vec(
        (prop_oneof![Just(0), Just(1), 1..=10_000u16], addresses()),
        1..6,
    )
}

fn kind() -> impl Strategy<Value = RecordKind> {
    prop_oneof![
        Just(RecordKind::Weighted),
        Just(RecordKind::Failover),
        Just(RecordKind::Latency)
    ]
}

proptest! {
    #[test]
    fn whatever_plans_follow_each_other_the_zone_becomes_as_wanted_and_others_records_stay(
        steps in prop::collection::vec((regions(), kind(), 10..90u32), 1..6),
    ) {
        let mut zone = foreign_zone();
        let mut nonce = 0;
        for (seq, (regions, kind, ttl_s)) in (1..).zip(steps) {
            let settings = Settings {
                ttl_s,
                ..settings(regions.len(), kind)
            };
            let plan = committed(1, seq, &regions);
            let planned_zone = match planned(&settings, &plan, &zone, &mut nonce) {
                Err(Refusal::NothingServes(_)) => {
                    let served = regions
                        .iter()
                        .any(|(weight, addresses)| *weight > 0 && !addresses.is_empty());
                    prop_assert!(!served);
                    continue;
                }
                other => other.unwrap(),
            };

            prop_assert!(!planned_zone.is_drift);
            for batch in &planned_zone.batches {
                let fences: Vec<_> = batch
                    .changes
                    .iter()
                    .filter(|change| change.set.record_type == "TXT")
                    .collect();

                prop_assert!(fences.iter().all(|change| change.action != Action::Upsert));
                prop_assert_eq!(fences.last().unwrap().action, Action::Create);
                prop_assert_eq!(
                    fences.len(),
                    if read_fence(&settings, &zone).unwrap().is_some() {
                        2
                    } else {
                        1
                    }
                );

                let (records, characters) = batch
                    .changes
                    .iter()
                    .map(cost)
                    .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));

                prop_assert!(records <= BATCH_RECORDS_MAX && characters <= BATCH_CHARACTERS_MAX);
                zone = write(&zone, batch).unwrap();
            }

            for wanted in wanted(&settings, &plan, &checks(8)).unwrap() {
                prop_assert!(
                    zone.iter().any(|set| set.is_same(&wanted)),
                    "{wanted} is missing"
                );
            }

            for other in foreign_zone() {
                prop_assert!(zone.contains(&other), "{other} was changed");
            }

            let service: Vec<_> = zone
                .iter()
                .filter(|set| set.name == settings.service_name() && set.record_type != "TXT")
                .collect();

            for record_type in ["A", "AAAA"] {
                let weights: Vec<_> = service
                    .iter()
                    .filter(|set| set.record_type == record_type)
                    .filter_map(|set| match set.routing {
                        Routing::Weighted { weight, .. } => Some(weight),
                        _ => None,
                    })
                    .collect();

                prop_assert!(weights.is_empty() || weights.iter().any(|weight| *weight > 0));
            }

            let own = service.len()
                + zone
                    .iter()
                    .filter(|set| settings.region_label(&set.name).is_some())
                    .count()
                - 1;

            prop_assert_eq!(
                own,
                wanted(&settings, &plan, &checks(8)).unwrap().len(),
                "leftovers: {:?}",
                zone
            );

            let again = planned(&settings, &plan, &zone, &mut nonce).unwrap();
            prop_assert!(
                again.batches.is_empty() && again.differences.is_empty(),
                "{again:?}"
            );
        }
    }

    #[test]
    fn of_two_writers_that_read_the_same_zone_only_the_first_changes_anything(
        first in regions(),
        second in regions(),
        third in regions(),
        kinds in (kind(), kind()),
        has_fence: bool,
        same_plan: bool,
    ) {
        let mut zone = foreign_zone();
        let mut nonce = 0;
        if has_fence
            && let Ok(before) = planned(
                &settings(6, kinds.0),
                &committed(1, 1, &first),
                &zone,
                &mut nonce,
            )
        {
            for batch in &before.batches {
                zone = write(&zone, batch).unwrap();
            }
        }

        let third = if same_plan { second.clone() } else { third };
        let one = planned(
            &settings(6, kinds.0),
            &committed(1, 2, &second),
            &zone,
            &mut nonce,
        );

        let two = planned(
            &settings(6, kinds.1),
            &committed(1, if same_plan { 2 } else { 3 }, &third),
            &zone,
            &mut nonce,
        );
        let (Ok(one), Ok(two)) = (one, two) else {
            return Ok(());
        };
        let mut after = zone;

        for batch in &one.batches {
            after = write(&after, batch).unwrap();
        }
        for batch in &two.batches {
            prop_assert!(write(&after, batch).is_err());
        }
    }

    #[test]
    fn an_older_plan_is_refused_and_an_equal_one_repairs(
        regions in regions(),
        number in 1..4u64,
        seq in 1..4u64,
        older in (0..4u64, 0..4u64),
    ) {
        let settings = settings(6, RecordKind::Weighted);
        let mut nonce = 0;
        let Ok(plan) = planned(
            &settings,
            &committed(number, seq, &regions),
            &[],
            &mut nonce,
        ) else {
            return Ok(());
        };

        let mut zone = write(&[], &plan.batches[0]).unwrap();
        let again = planned(
            &settings,
            &committed(older.0, older.1, &regions),
            &zone,
            &mut nonce,
        );

        if older < (number, seq) {
            let is_fenced = matches!(again, Err(Refusal::Fenced { .. }));
            prop_assert!(is_fenced);
        }

        // Somebody deletes one of our sets and edits another.
        let ours: Vec<_> = (0..zone.len())
            .filter(|at| zone[*at].record_type != "TXT")
            .collect();
        zone[ours[0]].ttl_s = Some(7);

        let drift = planned(
            &settings,
            &committed(number, seq, &regions),
            &zone,
            &mut nonce,
        )
        .unwrap();

        prop_assert!(drift.is_drift && drift.differences.len() == 1 && drift.batches.len() == 1);
        prop_assert_eq!(&drift.differences[0].record, &zone[ours[0]].to_string());
        zone.remove(*ours.last().unwrap());

        let drift = planned(
            &settings,
            &committed(number, seq, &regions),
            &zone,
            &mut nonce,
        )
        .unwrap();

        prop_assert!(drift.is_drift && !drift.differences.is_empty());
        let healed = write(&zone, &drift.batches[0]).unwrap();
        prop_assert!(
            planned(
                &settings,
                &committed(number, seq, &regions),
                &healed,
                &mut nonce
            )
            .unwrap()
            .batches
            .is_empty()
        );
    }

    #[test]
    fn a_fence_reads_back_as_written(
        number: u64,
        seq: u64,
        labels in prop::collection::btree_set("[a-z0-9]{1,60}", 0..40),
    ) {
        let stamp = committed(number, seq, &[]).stamp;
        let fence = Fence::new(&stamp, "0123abcd".into(), labels);
        let record = fence.record(&settings(1, RecordKind::Weighted));
        prop_assert!(record.values.iter().all(|value| value.len() <= 257));
        prop_assert_eq!(Fence::parse(&record).unwrap(), fence);
    }

    #[test]
    fn arbitrary_text_is_a_fence_or_an_error(values in prop::collection::vec(".{0,40}", 0..3)) {
        let mut record = Fence::new(&committed(1, 1, &[]).stamp, "n".into(), BTreeSet::new())
            .record(&settings(1, RecordKind::Weighted));
        record.values = values;
        let _ = Fence::parse(&record);
    }
}

fn found(wanted: &WantedCheck, id: &str) -> FoundCheck {
    FoundCheck {
        id: id.into(),
        reference: wanted.next_reference(&[]),
        config: Some(wanted.config.clone()),
        tags: wanted.tags.clone(),
    }
}

/// Makes what is wanted, as Route 53 would.
fn make(settings: &Settings, mut known: Vec<FoundCheck>) -> (Vec<FoundCheck>, CheckPlan) {
    loop {
        let plan = plan_checks(settings, &known);
        let ready: Vec<_> = plan
            .create
            .iter()
            .filter(|check| check.is_ready())
            .cloned()
            .collect();

        if ready.is_empty() {
            assert!(plan.create.is_empty(), "{plan:?}");
            return (known, plan);
        }

        for check in ready {
            let mut new = found(&check, &format!("hc-{}", known.len()));
            new.reference = check.next_reference(&known);
            assert!(new.reference.len() <= 64);
            assert!(known.iter().all(|other| other.reference != new.reference));
            known.push(new);
        }
    }
}

#[test]
fn every_region_is_watched_by_all_others_and_the_majority_decides() {
    let settings = settings(3, RecordKind::Weighted);
    let (known, plan) = make(&settings, Vec::new());
    assert_eq!(known.len(), 3 * 2 + 3);
    assert_eq!(plan.decisive.len(), 3);

    let majority = known
        .iter()
        .find(|check| check.id == plan.decisive[&region(1)])
        .unwrap();
    let Some(CheckConfig::Majority {
        children,
        threshold: 1,
    }) = &majority.config
    else {
        panic!("{majority:?}")
    };

    let polls: BTreeSet<_> = known
        .iter()
        .filter(|check| children.contains(&check.id))
        .map(|check| check.config.clone().unwrap())
        .map(|config| match config {
            CheckConfig::Poll { host, path, .. } => (host, path),
            CheckConfig::Majority { .. } => panic!("a child is a poll"),
        })
        .collect();

    let asked = |index: usize| {
        (
            format!("agents-{index}.example.com"),
            "/verdict/region-1".to_owned(),
        )
    };

    assert_eq!(polls, [asked(0), asked(2)].into());
    assert!(
        known
            .iter()
            .all(|check| is_own(&settings, &check.reference))
    );

    assert!(
        known
            .iter()
            .all(|check| check.tags["regionmesh:mesh"] == "mesh.example.com")
    );
}

#[test]
fn a_region_is_unhealthy_exactly_if_a_majority_says_so() {
    for observers in 1..40usize {
        let healthy = |bad: usize| observers - bad >= threshold(observers) as usize;
        for bad in 0..=observers {
            assert_eq!(healthy(bad), bad <= observers / 2, "{bad} of {observers}");
        }
    }
}

#[test]
fn of_two_regions_the_death_of_one_leaves_the_other_healthy() {
    let settings = settings(2, RecordKind::Weighted);
    let names: Vec<_> = observers(&settings, &region(0))
        .iter()
        .map(|region| region.name.clone())
        .collect();

    assert_eq!(names, [region(0), region(1)]);
    // Region 1 is gone: its own word on region 0 counts as bad, region 0's as good, and one is
    // enough.
    assert_eq!(threshold(names.len()), 1);
}

#[test]
fn checks_that_were_made_stay_and_those_of_other_settings_go() {
    let before = settings(3, RecordKind::Weighted);
    let (known, plan) = make(&before, Vec::new());
    assert_eq!(make(&before, known.clone()).0, known);
    assert!(plan.obsolete.is_empty() && plan.tag.is_empty());

    let mut after = before.clone();
    after.health_check.interval_s = 30;

    let (more, plan) = make(&after, known.clone());
    assert_eq!((more.len(), plan.obsolete.len()), (18, 9));
    assert!(plan.obsolete.iter().all(|check| known.contains(check)));

    let is_majority =
        |check: &FoundCheck| matches!(check.config, Some(CheckConfig::Majority { .. }));
    assert!(
        plan.obsolete[..3].iter().all(is_majority),
        "parents go before their children"
    );

    after.health_check.enabled = false;
    let (_, plan) = make(&after, more);
    assert_eq!((plan.decisive.len(), plan.obsolete.len()), (0, 18));
    assert!(
        make(&settings(1, RecordKind::Weighted), Vec::new())
            .0
            .is_empty()
    );
}

#[test]
fn a_check_that_somebody_changed_or_deleted_is_made_anew_under_another_reference() {
    let settings = settings(3, RecordKind::Weighted);
    let (mut known, plan) = make(&settings, Vec::new());
    let decisive = plan.decisive[&region(0)].clone();
    let at = known
        .iter()
        .position(|check| {
            check.id != decisive && matches!(check.config, Some(CheckConfig::Poll { .. }))
        })
        .unwrap();

    known[at].config = None;
    let before = known.len();
    let (known, plan) = make(&settings, known);

    // The poll, and the majority that counted on it.
    assert_eq!((known.len(), plan.obsolete.len()), (before + 2, 2));
    assert!(known[before].reference.ends_with("-1"));

    // Other meshes' checks are nobody's business.
    let mut other = settings.clone();
    other.mesh = "other".into();
    assert!(plan_checks(&other, &known).obsolete.is_empty());
}

#[test]
fn tags_that_are_missing_are_written_again() {
    let settings = settings(3, RecordKind::Weighted);
    let (mut known, _) = make(&settings, Vec::new());
    known[0].tags.remove("regionmesh:region");

    let plan = plan_checks(&settings, &known);
    assert_eq!(plan.tag.len(), 1);
    assert_eq!(plan.tag[0].0, known[0].id);
}

fn ip(last: u8) -> Vec<IpAddr> {
    vec![IpAddr::from([198, 51, 100, last])]
}

#[test]
fn failover_answers_the_carrying_region_and_falls_back_to_the_next_in_order() {
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
fn a_family_that_only_idle_regions_have_is_not_answered() {
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
fn others_records_in_the_way_stop_everything_and_those_beside_ours_are_told_of() {
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

    let beside = set(
        settings.service_name(),
        "A",
        Routing::Weighted {
            id: "legacy".into(),
            weight: 9,
        },
    );
    let plan = planned(&settings, &plan, &[beside], &mut nonce).unwrap();

    assert_eq!((plan.notes.len(), plan.batches.len()), (1, 1));
}

#[test]
fn a_stranger_where_the_fence_should_be_stops_everything() {
    let settings = settings(1, RecordKind::Weighted);
    let mut nonce = 0;
    let plan = committed(1, 1, &[(10_000, ip(1))]);
    let mut record = Fence::new(&plan.stamp, "n".into(), BTreeSet::new()).record(&settings);

    record.values = vec!["\"v=spf1 -all\"".into()];
    let refused = planned(&settings, &plan, &[record], &mut nonce);
    assert!(matches!(refused, Err(Refusal::NoFence(_))), "{refused:?}");
}

#[test]
fn more_than_a_batch_holds_is_cut_and_every_batch_is_fenced() {
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

    // Cut off after the first batch, the next writer goes on from there.
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
fn a_fence_in_the_zone_reads_as_documented() {
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
