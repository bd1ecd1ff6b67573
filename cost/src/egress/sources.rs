//! From where a region fetches what it lacks.

use crate::money::Money;
use std::cmp::Reverse;

/// A region that has the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationSource {
    /// Its name in the mesh.
    pub region: String,
    /// Its cloud.
    pub cloud: String,
    /// What sending 10^9 bytes to the receiver costs; none where it is not known.
    pub price: Option<Money>,
    /// The round trip to the receiver, milliseconds; none where it was not measured.
    pub round_trip_ms: Option<u32>,
}

/// Orders sources for a receiver: same region, same cloud, price, round trip, name. What is not known comes after what is;
/// prices are compared within a currency only and grouped by it.
pub fn order_sources(region: &str, cloud: &str, sources: &mut [ReplicationSource]) {
    sources.sort_by_cached_key(|source| {
        let place = (Reverse(source.region == region), Reverse(source.cloud == cloud));
        let price = source.price.map(|price| (price.currency, price.amount));
        let round_trip = (source.round_trip_ms.is_none(), source.round_trip_ms);
        (place, price.is_none(), price, round_trip, source.region.clone())
    });
}
