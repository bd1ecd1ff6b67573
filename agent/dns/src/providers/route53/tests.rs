//! Laws of planning, against a zone with Route 53's rules for batches.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod checks;
mod plans;
mod records;

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
        certificate: Default::default(),
    }
}

fn checks(count: usize) -> BTreeMap<RegionName, String> {
    (0..count)
        .map(|index| (region(index), format!("check-{index}")))
        .collect()
}

/// Applies all changes or none: DELETE must match exactly, CREATE must not find an existing set,
/// one name and type has one policy.
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
                        "{set} can't coexist with {clash} ({})",
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
            "foreign.serving.ml.example.com.",
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
