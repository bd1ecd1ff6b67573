//! Which regions are near a client (strategy `latency`): a table of networks, and EDNS client
//! subnet (RFC 7871). Pure.
//!
//! A client is its subnet if the resolver sends that, else the resolver itself. The longest network
//! of the table that contains it decides. Shares still apply: a region with a reduced share is
//! skipped for the same fraction of its nearby clients, so that a ramp at 25 % gives it a quarter
//! of them; a region without a share is skipped for all.

use crate::{
    config::{NetworkConfig, Traffic},
    distances::Distances,
    zone::region::ZoneRegion,
};
use hickory_proto::{
    op::Message,
    rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption},
};
use ipnet::IpNet;
use regionmesh_core::planning::Strategy;
use regionmesh_protocol::identity::RegionName;
use std::{collections::BTreeMap, net::IpAddr};

/// The table: each network with the indices of its regions, nearest first; longest prefixes first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Networks(Vec<(IpNet, Vec<usize>)>);

impl Networks {
    /// Compiles the table of the configuration; empty under any other strategy. After the regions
    /// that a network names come those that are measured from the first of them, nearest first.
    pub(crate) fn compile(
        traffic: &Traffic,
        regions: &[ZoneRegion],
        distances: &Distances,
    ) -> Self {
        if traffic.strategy != Strategy::Latency {
            return Self::default();
        }

        let index = |name: &RegionName| regions.iter().position(|region| region.name == *name);
        let row = |network: &NetworkConfig| {
            let mut near: Vec<usize> = network.regions.iter().filter_map(index).collect();
            let first = network.regions.first();
            let mut others = BTreeMap::new();

            for (place, region) in regions
                .iter()
                .enumerate()
                .filter(|(place, _)| !near.contains(place))
            {
                if let Some(distance) =
                    first.and_then(|first| distances.between(first, &region.name))
                {
                    others.insert((distance, &region.name), place);
                }
            }

            near.extend(others.into_values());
            (network.cidr.trunc(), near)
        };

        let mut rows: Vec<_> = traffic.networks.iter().map(row).collect();
        rows.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix_len()));
        Self(rows)
    }

    /// Whether the table is empty: then all regions are equally near.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The regions near `client`, nearest first; none where the table does not know it.
    pub(crate) fn near(&self, client: &IpNet) -> &[usize] {
        self.0
            .iter()
            .find(|(network, _)| network.contains(client))
            .map(|(_, regions)| &regions[..])
            .unwrap_or_default()
    }

    /// The scope of the answer to `client`: the shortest prefix of it that no other row of the
    /// table reaches into (RFC 7871 §7.2.1), so that a resolver does not give it to clients near
    /// another region.
    fn scope(&self, client: &IpNet) -> u8 {
        let reach = |network: &IpNet| {
            if network.contains(client) || client.contains(network) {
                network.prefix_len()
            } else {
                common_bits(network, client).map_or(0, |bits| bits + 1)
            }
        };

        let of_the_family = self
            .0
            .iter()
            .filter(|(network, _)| network.max_prefix_len() == client.max_prefix_len());

        of_the_family
            .map(|(network, _)| reach(network))
            .max()
            .unwrap_or(0)
    }
}

/// How many leading bits two networks of one family share.
fn common_bits(one: &IpNet, other: &IpNet) -> Option<u8> {
    let bits = match (one.network(), other.network()) {
        (IpAddr::V4(one), IpAddr::V4(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits() ^ other.to_bits()).leading_zeros(),
        _ => return None,
    };

    u8::try_from(bits).ok()
}

/// The client that an answer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Client {
    /// The network that the answer is for.
    pub(crate) network: IpNet,
    /// The query's subnet option, echoed in the answer.
    subnet: Option<ClientSubnet>,
}

/// The query's client subnet is malformed (RFC 7871 §7.1.2: FORMERR).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadSubnet;

impl Client {
    /// From a query that came from `source`.
    pub(crate) fn of(query: &Message, source: IpAddr) -> Result<Self, BadSubnet> {
        let option = query
            .edns
            .as_ref()
            .and_then(|edns| edns.option(EdnsCode::Subnet));
        let Some(EdnsOption::Subnet(subnet)) = option else {
            return Self::new(None, source);
        };

        Self::new(Some(*subnet), source)
    }

    /// From the client subnet of a query that came from `source`.
    pub(crate) fn new(subnet: Option<ClientSubnet>, source: IpAddr) -> Result<Self, BadSubnet> {
        let Some(subnet) = subnet else {
            return Ok(Self {
                network: source.to_canonical().into(),
                subnet: None,
            });
        };
        let network = IpNet::new(subnet.addr(), subnet.source_prefix()).map_err(|_| BadSubnet)?;

        // §6: bits beyond the prefix are zero, and so is the scope in a query.
        if network.trunc() != network || subnet.scope_prefix() != 0 {
            return Err(BadSubnet);
        }

        // §7.1.2: a prefix of length 0 means that the client's address must not be used.
        let network = if subnet.source_prefix() == 0 {
            source.to_canonical().into()
        } else {
            network
        };

        Ok(Self {
            network,
            subnet: Some(subnet),
        })
    }

    /// The option of the answer; none if the query had none. `networks` is what the answer depended
    /// on, if on any.
    pub(crate) fn option(&self, networks: Option<&Networks>) -> Option<EdnsOption> {
        let subnet = self.subnet.as_ref()?;
        Some(EdnsOption::Subnet(ClientSubnet::new(
            subnet.addr(),
            subnet.source_prefix(),
            self.scope(networks),
        )))
    }

    /// The scope of the answer; `networks` as above.
    pub(crate) fn scope(&self, networks: Option<&Networks>) -> u8 {
        match (networks, &self.subnet) {
            (Some(networks), Some(subnet)) if subnet.source_prefix() > 0 => {
                networks.scope(&self.network)
            }
            _ => 0,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
