#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn region(number: u8) -> RegionName {
    format!("r{number}").parse().unwrap()
}

fn agents(of: &[(u8, u8, u64)]) -> Vec<(AgentId, u64)> {
    let id = |region: u8, agent: u8| format!("r{region}/n{agent}").parse::<AgentId>().unwrap();
    let unique: std::collections::BTreeMap<_, _> = of.iter().map(|&(r, a, us)| (id(r, a), us)).collect();
    unique.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_region_is_unreachable_exactly_if_no_connection_leads_there(
        connected in prop::collection::vec((0u8..8, 0u8..40, 0u64..1_000_000), 0..300)
    ) {
        let (own, regions) = (region(0), (0..8).map(region).collect::<Vec<_>>());
        let connections = agents(&connected);
        let links = Links::new(&own, &regions, connections.iter().map(|(agent, us)| (agent, *us)));

        let reached: BTreeSet<_> = connections.iter().map(|(agent, _)| &agent.region).collect();
        for region in &regions {
            let is_expected = *region != own && !reached.contains(region);
            prop_assert_eq!(links.unreachable.contains(region), is_expected, "{}", region);
        }
        prop_assert_eq!(links.peers.len(), connections.len().min(LINKS_MAX));

        let farthest = links.peers.iter().map(|(_, us)| *us).max().unwrap_or(0);
        let kept: BTreeSet<_> = links.peers.iter().map(|(agent, _)| agent.clone()).collect();
        let dropped = connections.iter().filter(|(agent, _)| !kept.contains(&agent.to_string()));
        prop_assert!(dropped.map(|(_, us)| *us).all(|us| us >= farthest));
    }
}

#[test]
fn a_lost_connection_is_published_at_once_and_a_round_trip_time_later() {
    let (own, regions) = (region(0), [region(0), region(1)]);
    let links = |connected: &[(u8, u8, u64)]| {
        let connections = agents(connected);
        Links::new(&own, &regions, connections.iter().map(|(agent, us)| (agent, *us)))
    };
    let published = links(&[(1, 0, 800), (1, 1, 900)]);
    assert!(!published.replaces(&published, u64::MAX));
    assert!(links(&[(1, 0, 800)]).replaces(&published, 0));
    assert!(links(&[]).replaces(&published, 0));
    let slower = links(&[(1, 0, 850), (1, 1, 900)]);
    assert!(!slower.replaces(&published, ROUND_TRIPS_EVERY_MS - 1));
    assert!(slower.replaces(&published, ROUND_TRIPS_EVERY_MS));
}
