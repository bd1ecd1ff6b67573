//! From where a region fetches what it lacks.

use crate::money::Money;
use std::cmp::Reverse;

/// A region that has the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationSource {
    /// Its name in the mesh.
    pub region: String,
    pub cloud: String,
    /// Cost of sending 10^9 bytes to the receiver; `None` if unknown.
    pub price: Option<Money>,
    /// The round trip to the receiver, milliseconds; `None` if it was not measured.
    pub round_trip_ms: Option<u32>,
}

/// Sources for a receiver, the best first: same region, same cloud, price, round trip, name. Those
/// of one list differ in no more than their round trip. What is not known comes after what is;
/// prices are compared within a currency only and grouped by it.
pub fn source_tiers(
    region: &str,
    cloud: &str,
    mut sources: Vec<ReplicationSource>,
) -> Vec<Vec<ReplicationSource>> {
    let rank = |source: &ReplicationSource| {
        (
            Reverse(source.region == region),
            Reverse(source.cloud == cloud),
            source.price.is_none(),
            source.price,
        )
    };

    sources.sort_by_cached_key(|source| {
        let (own, near, is_unknown, price) = rank(source);
        let price = price.map(|price| (price.currency, price.amount));
        let round_trip = (source.round_trip_ms.is_none(), source.round_trip_ms);

        (
            own,
            near,
            is_unknown,
            price,
            round_trip,
            source.region.clone(),
        )
    });

    sources
        .chunk_by(|one, other| rank(one) == rank(other))
        .map(<[_]>::to_vec)
        .collect()
}
