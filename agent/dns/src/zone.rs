//! The zone as records: compiled from the configuration and the last committed plan, then never
//! changed.
//!
//! Names: the zone's apex (SOA, NS), `serving` (one region per answer, drawn by weight),
//! `<region>.serving` (always that region), `ns-<region>` (glue) and `_plan` (TXT, for operators).
//! Pure: the random number of a draw is passed in.

mod choice;
pub(crate) mod region;

use crate::{
    config::{Config, Region},
    distances::Distances,
    error::DnsError,
    fast::encoded::Encoded,
    known_plan::restrict_plan,
    nearness::Networks,
};
use hickory_proto::rr::{Name, rdata::SOA};
use region::{Family, ZoneRegion};
use regionmesh_core::planning::{Strategy, freeze::LocalAnswer};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{CommittedPlan, RegionPlan},
    register::ballot::Stamp,
    text::visible,
};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};

/// Time to live of SOA, NS and glue, seconds: they change with the configuration, not with plans.
pub(crate) const INFRASTRUCTURE_TTL_S: u32 = 300;

/// The owner's node in the tree of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// The zone itself.
    Apex,
    /// `serving.<zone>`.
    Serving,
    /// `<region>.serving.<zone>`: index into the regions.
    Region(usize),
    /// A name server below the zone; its addresses.
    NameServer(Vec<IpAddr>),
    /// `_plan.<zone>`.
    Plan,
    /// No records, but names below it (RFC 8020: it exists).
    Empty,
}

/// An immutable snapshot of all that the server answers.
#[derive(Debug, Clone)]
pub struct Zone {
    /// Name of the zone.
    pub(crate) apex: Name,
    /// Time to live of `serving` answers and of negative answers, seconds.
    pub(crate) ttl_s: u32,
    /// Every name that exists; looked up without regard to case.
    pub(crate) nodes: HashMap<Name, Node>,
    pub(crate) regions: Vec<ZoneRegion>,
    /// Which of them are near which clients; empty unless the strategy is `latency`.
    pub(crate) networks: Networks,
    /// Answers for `serving`, encoded beforehand.
    pub(crate) encoded: Encoded,
    /// The start of authority.
    pub(crate) soa: SOA,
    /// The zone's name servers.
    pub(crate) name_servers: Vec<Name>,
    /// The plan that this was compiled from; none: from the configuration alone.
    pub(crate) stamp: Option<Stamp>,
    /// What `_plan` answers.
    pub(crate) plan_text: Vec<String>,
    /// Name server identifier (RFC 5001): `<region>/<agent>`.
    pub(crate) identifier: String,
    /// Whether `serving` has no address: every region failed, and `when_all_down` is set to this.
    pub(crate) is_withdrawn: bool,
}

/// What affects the answers in addition to the plan.
#[derive(Debug, Default)]
pub(crate) struct Adjustments {
    /// Measured distances: they order the regions that a network of clients does not list.
    pub(crate) distances: Distances,
    /// This agent's local answer while the plan is frozen, if it differs from the plan.
    pub(crate) local: Option<Arc<LocalAnswer>>,
}

impl Zone {
    /// Compiles the zone. Without a plan every region of the configuration gets its configured
    /// share.
    ///
    /// Fails only on names that DNS can't hold.
    pub fn compile(config: &Config, plan: Option<&CommittedPlan>) -> Result<Self, DnsError> {
        Self::compile_with(config, plan, &Adjustments::default())
    }

    /// Compiles the zone with adjustments.
    pub(crate) fn compile_with(
        config: &Config,
        plan: Option<&CommittedPlan>,
        adjustments: &Adjustments,
    ) -> Result<Self, DnsError> {
        let Adjustments { distances, local } = adjustments;
        // A local answer uses the regions that this agent sees healthy, regardless of the plan.
        let is_withdrawn = local.is_none()
            && plan
                .is_some_and(|committed| config.traffic.when_all_down.withdraws(&committed.plan));
        let apex = absolute(&config.settings.zone)?;
        let regions = match plan {
            Some(plan) => planned_regions(config, plan, local.as_deref()),
            None => configured_regions(config),
        };

        let mut zone = Self {
            soa: SOA::new(
                Name::root(),
                below(&apex, "hostmaster")?,
                serial(plan),
                3_600,
                600,
                604_800,
                config.settings.ttl_s,
            ),
            name_servers: Vec::new(),
            ttl_s: config.settings.ttl_s,
            nodes: HashMap::new(),
            encoded: Encoded::new(&below(&apex, "serving")?, &regions, config.settings.ttl_s),
            networks: Networks::compile(&config.traffic, &regions, distances),
            regions,
            stamp: plan.map(|plan| plan.stamp.clone()),
            plan_text: plan_text(plan, local.as_deref()),
            identifier: config.own.to_string(),
            is_withdrawn,
            apex,
        };

        zone.insert_names()?;
        zone.insert_name_servers(config)?;
        Ok(zone)
    }

    /// The regions that a query for `serving` may be answered with now: those with a share, or, if
    /// no region has any, all that have addresses (a possibly bad answer is better than none).
    pub(crate) fn candidates(&self, family: Family) -> impl Iterator<Item = (&ZoneRegion, u64)> {
        let is_weighted = self.is_weighted();
        let regions = if self.is_withdrawn {
            &[][..]
        } else {
            &self.regions[..]
        };

        regions.iter().filter_map(move |region| {
            let weight = if is_weighted {
                u64::from(region.weight_bp)
            } else {
                1
            };

            (weight > 0 && !region.addresses(family).is_empty()).then_some((region, weight))
        })
    }

    /// Whether any region that has an address has a share.
    pub(crate) fn is_weighted(&self) -> bool {
        !self.is_withdrawn
            && self.regions.iter().any(|region| {
                region.weight_bp > 0 && !(region.v4.is_empty() && region.v6.is_empty())
            })
    }

    /// Draws one region by weight: over all values of `random`, in proportion to its share.
    pub(crate) fn draw(&self, family: Family, random: u32) -> Option<&ZoneRegion> {
        let total: u64 = self.candidates(family).map(|(_, weight)| weight).sum();
        // Fixed-point multiplication maps 0..2^32 evenly onto 0..total (Lemire 2019); weights sum
        // to far below 2^32.
        let mut point = (u64::from(random) * total) >> 32;

        for (region, weight) in self.candidates(family) {
            if point < weight {
                return Some(region);
            }
            point -= weight;
        }

        None
    }

    fn insert_names(&mut self) -> Result<(), DnsError> {
        let serving = below(&self.apex, "serving")?;
        self.insert(self.apex.clone(), Node::Apex);
        self.insert(below(&self.apex, "_plan")?, Node::Plan);
        for index in 0..self.regions.len() {
            let name = below(&serving, self.regions[index].name.as_str())?;
            self.insert(name, Node::Region(index));
        }

        self.insert(serving, Node::Serving);
        Ok(())
    }

    /// Configured name servers below the zone need glue. Any agent answers for the zone, so a
    /// server that does not belong to a region gets the addresses of all.
    fn insert_name_servers(&mut self, config: &Config) -> Result<(), DnsError> {
        let mut glue = BTreeMap::new();
        for region in &config.regions {
            glue.insert(format!("ns-{}", region.name), name_server_addresses(region));
        }

        if config.settings.name_servers.is_empty() {
            for (label, addresses) in glue {
                let name = below(&self.apex, &label)?;
                self.name_servers.push(name.clone());
                self.insert(name, Node::NameServer(addresses));
            }
        } else {
            for text in &config.settings.name_servers {
                let name = absolute(text)?;
                self.name_servers.push(name.clone());
                if self.apex.zone_of(&name) && !self.nodes.contains_key(&name) {
                    let first = name
                        .iter()
                        .next()
                        .map(|label| String::from_utf8_lossy(label).to_ascii_lowercase());
                    let of_region = first.and_then(|label| glue.get(&label).cloned());
                    let addresses = of_region.unwrap_or_else(|| {
                        let mut all: Vec<IpAddr> = glue.values().flatten().copied().collect();
                        all.sort_unstable();
                        all.dedup();
                        all
                    });

                    self.insert(name, Node::NameServer(addresses));
                }
            }
        }

        if let Some(first) = self.name_servers.first() {
            self.soa.mname = first.clone();
        }
        Ok(())
    }

    fn insert(&mut self, name: Name, node: Node) {
        let mut parent = name.base_name();
        while parent.num_labels() > self.apex.num_labels() {
            self.nodes.entry(parent.clone()).or_insert(Node::Empty);
            parent = parent.base_name();
        }

        self.nodes.insert(name, node);
    }
}

/// The plan's data for configured regions and addresses; others are not answered.
fn planned_regions(
    config: &Config,
    plan: &CommittedPlan,
    local: Option<&LocalAnswer>,
) -> Vec<ZoneRegion> {
    let weight = |name: &RegionName, planned: u16| {
        local
            .and_then(|local| local.weights.get(name))
            .copied()
            .unwrap_or(planned)
    };
    let known = restrict_plan(&config.regions, plan).plan.regions;
    let region = |(name, planned): (&RegionName, &RegionPlan)| {
        ZoneRegion::new(
            config,
            name,
            weight(name, planned.weight_bp),
            &planned.addresses,
        )
    };

    let regions: Vec<ZoneRegion> = known.iter().map(region).collect();
    // A plan without one address can't be answered from; the configuration can.
    if regions
        .iter()
        .all(|region| region.v4.is_empty() && region.v6.is_empty())
    {
        return configured_regions(config);
    }

    regions
}

fn configured_regions(config: &Config) -> Vec<ZoneRegion> {
    let first = config
        .regions
        .iter()
        .filter(|region| region.weight_bp > 0)
        .min_by_key(|region| region.priority);
    let share = |region: &Region| match config.traffic.strategy {
        Strategy::Weighted | Strategy::Latency => region.weight_bp,
        Strategy::ActivePassive if first.is_some_and(|first| first.name == region.name) => {
            region.weight_bp
        }
        Strategy::ActivePassive => 0,
    };

    config
        .regions
        .iter()
        .map(|region| ZoneRegion::new(config, &region.name, share(region), &region.addresses))
        .collect()
}

/// The mesh endpoint if it is an IP address, since the agents listen there; else the region's
/// serving addresses.
fn name_server_addresses(region: &Region) -> Vec<IpAddr> {
    let host = region
        .endpoint
        .rsplit_once(':')
        .map(|(host, _)| host.trim_matches(['[', ']']));

    match host.and_then(|host| host.parse().ok()) {
        Some(address) => vec![address],
        None => region.addresses.clone(),
    }
}

/// Serials wrap (RFC 1982); plans count from 1, the configuration alone is 0.
fn serial(plan: Option<&CommittedPlan>) -> u32 {
    plan.map_or(0, |plan| (plan.stamp.seq & u64::from(u32::MAX)) as u32)
}

fn plan_text(plan: Option<&CommittedPlan>, local: Option<&LocalAnswer>) -> Vec<String> {
    let Some(CommittedPlan { stamp, plan, .. }) = plan else {
        return vec!["seq=0".into(), "source=configuration".into()];
    };
    let weights: Vec<String> = plan
        .regions
        .iter()
        .map(|(name, region)| format!("weight_bp.{name}={}", region.weight_bp))
        .collect();
    let head = [
        format!("seq={}", stamp.seq),
        format!("ballot={}", stamp.ballot.number),
        format!("leader={}", stamp.ballot.agent),
        format!("made_ms={}", plan.made_ms),
        format!("reason={}", visible(&plan.reason)),
    ];

    let left_out = local.map(|local| {
        let names: Vec<&str> = local.left_out.iter().map(RegionName::as_str).collect();
        format!("left_out={}", names.join(","))
    });

    head.into_iter()
        .chain(left_out)
        .chain(weights)
        .take(64)
        .map(character_string)
        .collect()
}

/// A TXT character-string holds at most 255 bytes (RFC 1035 §3.3); cut at a character's border.
fn character_string(mut text: String) -> String {
    let mut end = text.len().min(255);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

fn absolute(text: &str) -> Result<Name, DnsError> {
    let mut name = Name::from_ascii(text).map_err(|error| DnsError::Name {
        name: text.to_owned(),
        why: error.to_string(),
    })?;

    name.set_fqdn(true);
    Ok(name)
}

fn below(parent: &Name, label: &str) -> Result<Name, DnsError> {
    parent.prepend_label(label).map_err(|error| DnsError::Name {
        name: format!("{label}.{parent}"),
        why: error.to_string(),
    })
}
