//! The nodes of a region, their prices, and how many more there may be.

use crate::{config::RegionConfig, cost::answers::sources::Sources};
use regionmesh_cost::{
    CloudRegion, CommittedOffer, LiveWindow, NoPrice, NodeCounts, NodeGroup, NodeOffer, Price,
    PricingClass, RegionCapacity, RegionOffer, SpotOffer,
};
use time::Date;

/// Assumed quota of nodes, as a multiple of those running: real quotas are unknown.
const QUOTA_FACTOR: u32 = 10;

/// Lowest assumed quota of a region.
const QUOTA_MIN: u32 = 10;

/// Chance that a spot node is reclaimed within an hour; providers publish 5 to 20 % a month.
const SPOT_LOSS_PER_HOUR: f64 = 0.01;

/// A region's nodes, their prices, and its use.
pub(super) struct Offered<'a> {
    pub(super) region: &'a RegionConfig,
    pub(super) nodes: NodeCounts,
    pub(super) window: LiveWindow,
    pub(super) offer: RegionOffer,
    pub(super) price_date: Date,
}

/// The nodes of a region and their prices, or why they can't be compared.
pub(super) fn offer<'a>(
    region: &'a RegionConfig,
    span: (Date, Date),
    sources: &Sources,
) -> Result<Offered<'a>, String> {
    let name = region.name.as_str();
    let at = sources.regions.billing_of(name).ok_or_else(|| {
        NoPrice::Region {
            region: name.into(),
        }
        .to_string()
    })?;

    let running = sources
        .capacity
        .get(name)
        .ok_or("what runs there is not known")?;
    let sku = sku(running)?;
    let window = sources.live.window(name, span, sources.pricing());
    let nodes = nodes(region, running, &window, sources);

    // Without a price nodes can't be recommended, but running nodes must have one.
    let price_of_some = |class, count: u32| match price(sources, at, sku, class) {
        Err(why) if count > 0 => Err(why),
        found => Ok(found.ok()),
    };
    let on_demand = price(sources, at, sku, PricingClass::OnDemand)?;
    let spot = price_of_some(PricingClass::Spot, nodes.spot)?;
    let committed = price_of_some(PricingClass::Committed, nodes.committed)?;
    let quota = nodes.total().saturating_mul(QUOTA_FACTOR).max(QUOTA_MIN);

    let offer = RegionOffer {
        name: region.name.clone(),
        cloud: region.cloud.clone(),
        endpoint: region.endpoint.clone(),
        on_demand: NodeOffer {
            price: on_demand.first(),
            nodes_max: quota,
        },
        spot: spot.map(|price| SpotOffer {
            price: price.first(),
            nodes_max: quota,
            loss_per_hour: SPOT_LOSS_PER_HOUR,
        }),
        committed: committed.map(|price| CommittedOffer {
            price: price.first(),
            new_nodes_max: quota,
            paid_nodes: nodes.committed,
        }),
        fixed_per_hour: None,
    };

    Ok(Offered {
        region,
        nodes,
        window,
        offer,
        price_date: on_demand.valid_from,
    })
}

/// The one type of a region's nodes.
fn sku(running: &RegionCapacity) -> Result<&str, String> {
    let mut skus: Vec<&str> = running
        .nodes
        .iter()
        .map(|group| group.sku.as_str())
        .collect();

    skus.sort_unstable();
    skus.dedup();

    match skus[..] {
        [] => Err("no nodes are configured; name them as [[regions]] nodes".into()),
        [sku] => Ok(sku),
        _ => Err(format!(
            "only nodes of one type can be compared, and it has {}",
            skus.join(", ")
        )),
    }
}

/// The price of a node in the configured currency.
fn price<'a>(
    sources: &'a Sources,
    at: &CloudRegion,
    sku: &str,
    class: PricingClass,
) -> Result<&'a Price, String> {
    let price = sources
        .prices
        .node(sources.today, at, sku, class)
        .map_err(|missing| missing.to_string())?;
    let is = price.first().currency;
    let expected = sources.cost.currency;

    if is == expected {
        Ok(price)
    } else {
        Err(format!(
            "the price of {} is in {is}; {expected} is expected",
            price.item
        ))
    }
}

/// The nodes of a region by class: the configured counts, or else the mean over the window.
fn nodes(
    region: &RegionConfig,
    running: &RegionCapacity,
    window: &LiveWindow,
    sources: &Sources,
) -> NodeCounts {
    let mut nodes = NodeCounts::default();
    for (configured, group) in region.nodes.iter().zip(&running.nodes) {
        let count = match configured.count {
            Some(count) => count,
            None => mean_nodes(running.places, group.count, window, sources).unwrap_or(group.count),
        };
        let sum = match group.pricing {
            PricingClass::Spot => &mut nodes.spot,
            PricingClass::Committed => &mut nodes.committed,
            _ => &mut nodes.on_demand,
        };

        *sum = sum.saturating_add(count);
    }

    nodes
}

/// The mean number of nodes over the window, rounded up, from the time of its inference slots.
/// `places` and `count` are current; if there are none now, those of all regions are used.
fn mean_nodes(places: u32, count: u32, window: &LiveWindow, sources: &Sources) -> Option<u32> {
    let own = (u64::from(places), u64::from(count));
    let (places, count) = if places > 0 && count > 0 {
        own
    } else {
        places_and_nodes(sources.capacity.values())
    };
    let place_ms = u128::from(window.place_ms) * u128::from(count);
    let known_ms = u128::from(window.known_ms) * u128::from(places);
    let mean = (place_ms > 0 && known_ms > 0).then(|| place_ms.div_ceil(known_ms))?;

    Some(u32::try_from(mean).unwrap_or(u32::MAX))
}

pub(super) fn places_and_nodes<'a>(
    running: impl Iterator<Item = &'a RegionCapacity>,
) -> (u64, u64) {
    running.fold((0, 0), |(places, nodes), running| {
        let add = |sum: u64, group: &NodeGroup| sum.saturating_add(group.count.into());
        (
            places.saturating_add(running.places.into()),
            running.nodes.iter().fold(nodes, add),
        )
    })
}
