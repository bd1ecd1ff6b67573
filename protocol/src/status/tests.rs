#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn region(number: u8) -> RegionName {
    format!("r{number}").parse().unwrap()
}

fn agents(of: &[(u8, u8, u64)]) -> Vec<(AgentId, u64)> {
    let id = |region: u8, agent: u8| format!("r{region}/n{agent}").parse::<AgentId>().unwrap();
    let unique: std::collections::BTreeMap<_, _> =
        of.iter().map(|&(r, a, us)| (id(r, a), us)).collect();
    unique.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_region_is_unreachable_only_if_no_connection_leads_there(
        connected in prop::collection::vec((0u8..8, 0u8..40, 0u64..1_000_000), 0..300),
    ) {
        let own = region(0);
        let regions = (0..8).map(region).collect::<Vec<_>>();
        let connections = agents(&connected);
        let links = Links::new(
            &own,
            &regions,
            connections.iter().map(|(agent, us)| (agent, *us)),
        );

        let reached: BTreeSet<_> = connections.iter().map(|(agent, _)| &agent.region).collect();
        for region in &regions {
            let is_expected = *region != own && !reached.contains(region);
            prop_assert_eq!(
                links.unreachable.contains(region),
                is_expected,
                "{}",
                region
            );
        }

        prop_assert_eq!(links.peers.len(), connections.len().min(LINKS_MAX));

        let farthest = links.peers.iter().map(|(_, us)| *us).max().unwrap_or(0);
        let kept: BTreeSet<_> = links.peers.iter().map(|(agent, _)| agent.clone()).collect();
        let dropped = connections
            .iter()
            .filter(|(agent, _)| !kept.contains(&agent.to_string()));

        prop_assert!(dropped.map(|(_, us)| *us).all(|us| us >= farthest));
    }
}

#[test]
fn an_unknown_catalogue_keeps_a_region_out_unless_a_serving_region_vouches_for_it() {
    let own = region(0);
    let serving = region(1);
    let broken = region(2);
    let held = |missing: u64, unknown: &[&RegionName]| Holdings {
        missing,
        unknown: unknown.iter().map(|region| (*region).clone()).collect(),
        ..Holdings::default()
    };
    let is_complete =
        |held: &Holdings, others: &[(&RegionName, &Holdings)]| held.is_complete(&own, others);
    let knows_all = held(0, &[]);
    let lacks_broken = held(0, &[&broken]);

    assert!(is_complete(&knows_all, &[]) && !is_complete(&held(1, &[]), &[(&serving, &knows_all)]));
    assert!(
        is_complete(&lacks_broken, &[(&serving, &knows_all)]),
        "it holds all, through another"
    );

    assert!(
        is_complete(&lacks_broken, &[(&serving, &held(1, &[&broken]))]),
        "it holds as much as another"
    );

    assert!(
        !is_complete(&lacks_broken, &[(&serving, &held(1, &[]))]),
        "the other is still reading it"
    );

    assert!(
        !is_complete(&held(1, &[&broken]), &[(&serving, &knows_all)]),
        "it lacks what it knows of"
    );

    // Neither the region itself nor the unknown one vouches, nor one that is not known either.
    assert!(!is_complete(
        &lacks_broken,
        &[(&own, &lacks_broken), (&broken, &knows_all)]
    ));

    assert!(!is_complete(
        &held(0, &[&serving, &broken]),
        &[(&serving, &knows_all), (&broken, &knows_all)]
    ));
}

#[test]
fn a_lost_connection_is_published_immediately_but_a_round_trip_time_later() {
    let own = region(0);
    let regions = [region(0), region(1)];
    let links = |connected: &[(u8, u8, u64)]| {
        let connections = agents(connected);
        Links::new(
            &own,
            &regions,
            connections.iter().map(|(agent, us)| (agent, *us)),
        )
    };

    let published = links(&[(1, 0, 800), (1, 1, 900)]);
    assert!(!published.replaces(&published, u64::MAX));
    assert!(links(&[(1, 0, 800)]).replaces(&published, 0));
    assert!(links(&[]).replaces(&published, 0));

    let slower = links(&[(1, 0, 850), (1, 1, 900)]);
    assert!(!slower.replaces(&published, ROUND_TRIPS_EVERY_MS - 1));
    assert!(slower.replaces(&published, ROUND_TRIPS_EVERY_MS));
}
