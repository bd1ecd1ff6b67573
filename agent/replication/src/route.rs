//! Where to fetch a version from, by cost: from the cheapest region that holds it, or later from
//! one that is receiving it. Pure; the rules are in regionmesh-cost.

use regionmesh_cost::{
    FanOutLimits, Money, NoPrice, Pricing, ReplicationSource, fan_out, price_per_gb, source_tiers,
};
use regionmesh_protocol::identity::{AgentId, RegionName};
use std::collections::{BTreeMap, BTreeSet};
use time::Date;

/// What the choice of sources depends on.
pub struct Routes<'a> {
    /// The region that fetches.
    pub own: &'a RegionName,
    /// The cloud of each region.
    pub clouds: &'a BTreeMap<RegionName, String>,
    pub pricing: Pricing<'a>,
    /// Today, UTC.
    pub today: Date,
    /// Round trips between regions, milliseconds.
    pub round_trips_ms: BTreeMap<(String, String), f64>,
}

impl Routes<'_> {
    fn price(&self, from: &str, to: &str) -> Result<Money, NoPrice> {
        price_per_gb(
            self.pricing.prices,
            self.pricing.regions,
            self.today,
            from,
            Some(to),
        )
    }

    fn round_trip_ms(&self, from: &str, to: &str) -> Option<u32> {
        self.round_trips_ms
            .get(&(from.to_owned(), to.to_owned()))
            .map(|ms| ms.ceil() as u32)
    }

    /// The connected agents of the regions that hold a version, the cheapest first; those of one
    /// list are equally good but for their round trip. `links` are the round trips to the connected
    /// agents, microseconds.
    pub fn sources(
        &self,
        holders: &[RegionName],
        links: &BTreeMap<AgentId, u64>,
    ) -> Vec<Vec<AgentId>> {
        let own = self.own.as_str();
        let cloud = |name: &RegionName| self.clouds.get(name).cloned().unwrap_or_default();

        let regions: BTreeSet<&RegionName> = links
            .keys()
            .map(|agent| &agent.region)
            .filter(|region| holders.contains(region))
            .collect();
        let source = |region: &RegionName| {
            let of_region = links.iter().filter(|(agent, _)| agent.region == *region);
            let round_trip_us = of_region.map(|(_, round_trip_us)| *round_trip_us).min();
            ReplicationSource {
                region: region.to_string(),
                cloud: cloud(region),
                price: self.price(region.as_str(), own).ok(),
                round_trip_ms: round_trip_us
                    .map(|us| u32::try_from(us / 1_000).unwrap_or(u32::MAX)),
            }
        };

        let sources = regions.into_iter().map(source).collect();
        let tiers = source_tiers(own, &cloud(self.own), sources);
        let agents = |tier: Vec<ReplicationSource>| {
            let is_of = |agent: &AgentId| {
                tier.iter()
                    .any(|source| source.region == agent.region.as_str())
            };
            let mut agents: Vec<_> = links.iter().filter(|(agent, _)| is_of(agent)).collect();

            agents.sort_by_key(|(_, round_trip_us)| **round_trip_us);
            agents.into_iter().map(|(agent, _)| agent.clone()).collect()
        };

        tiers.into_iter().map(agents).collect()
    }

    /// The region to wait for, if fetching from it later is cheaper than from any current holder:
    /// the cheapest route from the first holder to all regions that lack the version passes through
    /// it. Regions with the same information compute the same route, so no two wait for each other.
    pub fn relay(
        &self,
        holders: &[RegionName],
        lacking: &BTreeSet<RegionName>,
    ) -> Option<RegionName> {
        let own = self.own;
        let price = |from: &RegionName| self.price(from.as_str(), own.as_str()).ok();
        let direct = holders
            .iter()
            .filter_map(price)
            .min_by_key(|price| (price.currency, price.amount))?;
        let root = holders.iter().min()?;
        let targets: BTreeSet<&str> = lacking
            .iter()
            .chain([own])
            .map(RegionName::as_str)
            .collect();
        let targets: Vec<&str> = targets.into_iter().collect();
        let price = |from: &str, to: &str| self.price(from, to);
        let round_trip = |from: &str, to: &str| self.round_trip_ms(from, to);

        let route = fan_out(
            root.as_str(),
            &targets,
            &price,
            &round_trip,
            FanOutLimits::default(),
        );
        let hop = route.hops.iter().find(|hop| hop.to == own.as_str())?;
        let is_cheaper = hop
            .price
            .is_some_and(|price| price.currency == direct.currency && price.amount < direct.amount);

        lacking
            .iter()
            .find(|region| is_cheaper && region.as_str() == hop.from)
            .cloned()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use regionmesh_cost::{MeshRegion, Prices, RegionMap};

    /// Built-in prices per gigabyte: 0.086 USD from Mumbai, 0.02 USD from Ireland to Oregon.
    const REGIONS: [&str; 4] = ["us-west-2", "eu-west-1", "ap-south-1", "eu-central-1"];

    fn routes<R>(own: &str, use_them: impl FnOnce(&Routes<'_>) -> R) -> R {
        let clouds = names(&REGIONS).into_iter().map(|name| (name, "aws".into()));
        let clouds = clouds.collect();
        let prices = Prices::default();
        let regions = RegionMap::new(REGIONS.map(|name| MeshRegion {
            name: name.into(),
            cloud: "aws".into(),
            billing_region: None,
        }));
        let pairs = REGIONS
            .iter()
            .flat_map(|from| REGIONS.map(|to| ((from.to_string(), to.to_owned()), 100.0)));
        let routes = Routes {
            own: &own.parse().unwrap(),
            clouds: &clouds,
            pricing: Pricing {
                prices: &prices,
                regions: &regions,
            },
            today: time::macros::date!(2026 - 10 - 01),
            round_trips_ms: pairs.collect(),
        };

        use_them(&routes)
    }

    fn names(regions: &[&str]) -> Vec<RegionName> {
        regions
            .iter()
            .map(|region| region.parse().unwrap())
            .collect()
    }

    fn relay(own: &str, holders: &[&str], lacking: &[&str]) -> Option<String> {
        let lacking = names(lacking).into_iter().collect();
        routes(own, |routes| {
            routes
                .relay(&names(holders), &lacking)
                .map(|region| region.to_string())
        })
    }

    #[test]
    fn from_mumbai_one_region_fetches_and_relays_to_the_others() {
        let others = ["eu-central-1", "eu-west-1", "us-west-2"];
        let waiting: Vec<_> = others
            .iter()
            .map(|own| {
                let lacking: Vec<&str> = others.into_iter().filter(|other| other != own).collect();
                relay(own, &["ap-south-1"], &lacking)
            })
            .collect();

        assert_eq!(waiting.iter().flatten().count(), 2, "{waiting:?}");
        // Once the first region has it, the others fetch from it without waiting.
        let first = others
            .iter()
            .zip(&waiting)
            .find(|(_, waits)| waits.is_none())
            .unwrap()
            .0;

        for own in others.iter().filter(|own| *own != first) {
            let lacking: Vec<&str> = others
                .into_iter()
                .filter(|other| other != own && other != first)
                .collect();
            assert_eq!(relay(own, &["ap-south-1", first], &lacking), None);
        }
    }

    #[test]
    fn no_region_waits_for_a_relay_that_saves_nothing() {
        assert_eq!(relay("us-west-2", &["ap-south-1"], &[]), None);
        assert_eq!(
            relay("us-west-2", &["ap-south-1", "eu-west-1"], &["eu-central-1"]),
            None
        );

        assert_eq!(relay("us-west-2", &["eu-west-1"], &["ap-south-1"]), None);
        assert_eq!(relay("us-west-2", &[], &["ap-south-1"]), None);
    }

    #[test]
    fn sources_are_grouped_by_price_cheapest_first() {
        let links = [
            ("ap-south-1/n", 1),
            ("eu-west-1/n", 90),
            ("eu-central-1/n", 80),
            ("eu-west-1/m", 95),
        ];

        let links = links
            .map(|(agent, ms)| (agent.parse().unwrap(), ms * 1_000))
            .into();
        let found = routes("us-west-2", |routes| {
            routes.sources(&names(&["ap-south-1", "eu-west-1", "eu-central-1"]), &links)
        });
        let tiers: Vec<Vec<String>> = found
            .iter()
            .map(|tier| tier.iter().map(ToString::to_string).collect())
            .collect();

        assert_eq!(
            tiers,
            [
                vec!["eu-central-1/n", "eu-west-1/n", "eu-west-1/m"],
                vec!["ap-south-1/n"]
            ]
        );
    }

    proptest! {
        #[test]
        fn no_two_regions_wait_for_each_other(holds in prop::array::uniform4(any::<bool>())) {
            let of = |is: bool| {
                REGIONS
                    .into_iter()
                    .zip(holds)
                    .filter(move |(_, has)| *has == is)
                    .map(|(name, _)| name)
            };
            let holders: Vec<&str> = of(true).collect();

            for own in of(false) {
                // The chain of relays ends at a region that fetches.
                let mut at = own.to_owned();
                let mut steps = 0;
                while let Some(next) = relay(
                    &at,
                    &holders,
                    &of(false).filter(|other| *other != at).collect::<Vec<_>>(),
                ) {
                    (at, steps) = (next, steps + 1);
                    prop_assert!(steps < REGIONS.len(), "a circle from {own}");
                }
            }
        }
    }
}
