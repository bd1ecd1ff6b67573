//! A region in DNS, and its address records.

use crate::config::Config;
use hickory_proto::rr::{
    RData,
    rdata::{A, AAAA},
};
use regionmesh_protocol::{identity::RegionName, plan::FULL_WEIGHT_BP};
use std::net::IpAddr;

/// One region, with its addresses as records.
#[derive(Debug, Clone)]
pub(crate) struct ZoneRegion {
    pub(crate) name: RegionName,
    /// Its share of the answers for `serving`, relative to the others.
    pub(crate) weight_bp: u16,
    /// Its share while it is healthy: the denominator of the part of its own clients that it gets.
    pub(crate) normal_bp: u16,
    /// Its IPv4 addresses.
    pub(crate) v4: Vec<RData>,
    /// Its IPv6 addresses.
    pub(crate) v6: Vec<RData>,
}

/// An address family: IPv4 for A queries, IPv6 for AAAA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl ZoneRegion {
    /// The region's records of a family.
    pub(crate) fn addresses(&self, family: Family) -> &[RData] {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }

    pub(super) fn new(
        config: &Config,
        name: &RegionName,
        weight_bp: u16,
        addresses: &[IpAddr],
    ) -> Self {
        let (v4, v6) = addresses
            .iter()
            .map(|address| address_record(*address))
            .partition(|data| matches!(data, RData::A(_)));

        // A standby has no configured share: its part is measured by a full one.
        let normal_bp = config
            .region(name)
            .map(|region| region.weight_bp)
            .filter(|weight_bp| *weight_bp > 0);

        Self {
            name: name.clone(),
            weight_bp,
            normal_bp: normal_bp.unwrap_or(FULL_WEIGHT_BP),
            v4,
            v6,
        }
    }
}

/// An A or AAAA record's data.
pub(crate) fn address_record(address: IpAddr) -> RData {
    match address.to_canonical() {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    }
}
