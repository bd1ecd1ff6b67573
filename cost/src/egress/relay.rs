//! The cheapest way to bring the same bytes to several regions: each receives them once, from the
//! source or from a region that has received them.
//!
//! That is a minimum-cost arborescence, found exactly by contracting cycles of cheapest incoming
//! edges (Y. J. Chu and T. H. Liu 1965, J. Edmonds 1967, "Optimum branchings"). petgraph has no
//! such algorithm; for the dozens of regions of a mesh the simple form, O(n³), takes microseconds.
//! A bound on the round trip of paths makes the problem NP-hard, so the paths that break it are
//! forbidden and the rest is solved again: the result keeps the bound and is never dearer than
//! sending directly.

use crate::{
    money::{Amount, Currency, Money, Totals},
    prices::NoPrice,
};
use serde::{Deserialize, Serialize};

/// Most regions for which relays are looked for; more are sent to directly.
const RELAYED_LIMIT: usize = 32;

/// When a relay is worth it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FanOutLimits {
    /// Least saving of each relayed transfer against sending directly, in 1/10,000 of the direct
    /// price.
    pub saving_min_bp: u16,
    /// Most that the round trips along a path may sum to above the direct round trip, milliseconds.
    pub extra_max_ms: u32,
}

impl Default for FanOutLimits {
    fn default() -> Self {
        Self {
            saving_min_bp: 1_000,
            extra_max_ms: 200,
        }
    }
}

/// One transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The region that sends.
    pub from: String,
    /// The region that receives.
    pub to: String,
    /// The price of 10^9 bytes; `None` if it is not known, which is so for transfers from the
    /// source alone.
    pub price: Option<Money>,
}

/// A replication plan from one region to several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FanOut {
    /// The transfers, each after the one that brings its sender the bytes.
    pub hops: Vec<Hop>,
    /// Cost of 10^9 bytes to all receivers with this plan.
    pub cost: Totals,
    /// The same if the source sends to each receiver directly.
    pub direct: Totals,
    /// Prices that are missing.
    pub missing: Vec<NoPrice>,
}

/// The cheapest way for the bytes of `from` to reach all `targets`. `price` is that of 10^9 bytes
/// from one region to another, `round_trip` the measured time between them, milliseconds; a pair
/// without either carries no relay.
pub fn fan_out(
    from: &str,
    targets: &[&str],
    price: &dyn Fn(&str, &str) -> Result<Money, NoPrice>,
    round_trip: &dyn Fn(&str, &str) -> Option<u32>,
    limits: FanOutLimits,
) -> FanOut {
    let mut nodes = vec![from];
    for target in targets {
        if !nodes.contains(target) {
            nodes.push(target);
        }
    }

    let mut missing = Vec::new();
    let direct: Vec<Option<Money>> = nodes
        .iter()
        .enumerate()
        .map(|(place, to)| {
            (place > 0)
                .then(|| {
                    price(from, to)
                        .map_err(|no_price| missing.push(no_price))
                        .ok()
                })
                .flatten()
        })
        .collect();

    let mut parents = vec![0; nodes.len()];
    if nodes.len() <= RELAYED_LIMIT {
        let edges = Edges {
            nodes: &nodes,
            direct: &direct,
            price,
            round_trip,
            limits,
        };

        parents = edges.cheapest();
    }

    let mut plan = FanOut {
        missing,
        ..FanOut::default()
    };

    for place in from_the_root(&parents) {
        let parent = parents[place];
        let paid = if parent == 0 {
            direct[place]
        } else {
            price(nodes[parent], nodes[place]).ok()
        };

        plan.hops.push(Hop {
            from: nodes[parent].into(),
            to: nodes[place].into(),
            price: paid,
        });

        paid.into_iter().for_each(|money| plan.cost.add(money));
        direct[place]
            .into_iter()
            .for_each(|money| plan.direct.add(money));
    }

    plan
}

/// The nodes but the root, each after its parent.
fn from_the_root(parents: &[usize]) -> Vec<usize> {
    let mut order = vec![0];
    let mut next = 0;
    while let Some(parent) = order.get(next).copied() {
        order.extend((1..parents.len()).filter(|place| parents[*place] == parent));
        next += 1;
    }

    order.remove(0);
    order
}

struct Edges<'a> {
    nodes: &'a [&'a str],
    /// The price from the source, which is node 0.
    direct: &'a [Option<Money>],
    price: &'a dyn Fn(&str, &str) -> Result<Money, NoPrice>,
    round_trip: &'a dyn Fn(&str, &str) -> Option<u32>,
    limits: FanOutLimits,
}

impl Edges<'_> {
    /// The parent of each node in the cheapest tree that keeps the limits.
    fn cheapest(&self) -> Vec<usize> {
        // Amounts are compared in one currency: that of the first target with a price. Others are
        // sent to directly.
        let Some(currency) = self
            .direct
            .iter()
            .flatten()
            .map(|money| money.currency)
            .next()
        else {
            return vec![0; self.nodes.len()];
        };

        let count = self.nodes.len();
        let mut weights: Vec<Vec<Option<Weight>>> = (0..count)
            .map(|from| {
                (0..count)
                    .map(|to| self.weight(from, to, currency))
                    .collect()
            })
            .collect();

        loop {
            let parents = arborescence(&weights);
            let late: Vec<usize> = (1..count)
                .filter(|place| self.is_late(&parents, *place))
                .collect();

            if late.is_empty() {
                return parents;
            }

            // Late nodes have a parent other than the source, whose edges stay: this ends.
            for place in late {
                weights[parents[place]][place] = None;
            }
        }
    }

    /// The cost of an edge, if it may be used.
    fn weight(&self, from: usize, to: usize, currency: Currency) -> Option<Weight> {
        if to == 0 || from == to {
            return None;
        }

        let direct = self.direct[to].filter(|money| money.currency == currency);
        if from == 0 {
            let round_trip = (self.round_trip)(self.nodes[0], self.nodes[to]).unwrap_or(0);
            return Some(Weight::new(
                direct.map_or(Amount::ZERO, |money| money.amount),
                round_trip,
            ));
        }

        let round_trip = (self.round_trip)(self.nodes[from], self.nodes[to])?;
        let relayed = (self.price)(self.nodes[from], self.nodes[to])
            .ok()
            .filter(|money| money.currency == currency)?;
        let kept_bp = 10_000u64.saturating_sub(self.limits.saving_min_bp.into());
        let is_worth_it = relayed.amount < direct?.amount
            && relayed.amount <= direct?.amount.share(kept_bp, 10_000)?;

        is_worth_it.then(|| Weight::new(relayed.amount, round_trip))
    }

    /// Whether the path to a node is too slow or its round trip is unknown.
    fn is_late(&self, parents: &[usize], place: usize) -> bool {
        if parents[place] == 0 {
            return false;
        }

        let mut at = place;
        let mut path_ms = Some(0u64);
        while at != 0 {
            let leg = (self.round_trip)(self.nodes[parents[at]], self.nodes[at]);
            path_ms = path_ms.zip(leg).map(|(sum, leg)| sum + u64::from(leg));
            at = parents[at];
        }

        let direct = (self.round_trip)(self.nodes[0], self.nodes[place]);
        let within = |(path, direct): (u64, u32)| {
            path <= u64::from(direct) + u64::from(self.limits.extra_max_ms)
        };

        !path_ms.zip(direct).is_some_and(within)
    }
}

/// A price, and the round trip for equal prices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Weight {
    amount: i128,
    round_trip: i64,
}

impl Weight {
    fn new(amount: Amount, round_trip: u32) -> Self {
        Self {
            amount: amount.0,
            round_trip: round_trip.into(),
        }
    }

    fn less(self, other: Self) -> Self {
        Self {
            amount: self.amount.saturating_sub(other.amount),
            round_trip: self.round_trip.saturating_sub(other.round_trip),
        }
    }
}

/// The parents of a cheapest tree from node 0, which must have an edge to every other node;
/// `weights[from][to]`.
fn arborescence(weights: &[Vec<Option<Weight>>]) -> Vec<usize> {
    let count = weights.len();
    let cheapest = |to: usize| {
        let edges = (0..count).filter_map(|from| Some((weights[from][to]?, from)));
        edges.min().map_or(0, |(_, from)| from)
    };
    let mut parents: Vec<usize> = (0..count)
        .map(|to| if to == 0 { 0 } else { cheapest(to) })
        .collect();
    let Some(cycle) = cycle_of(&parents) else {
        return parents;
    };

    // The cycle becomes one node, the last. An edge into it costs what it adds to the edge that it
    // replaces.
    let outside: Vec<usize> = (0..count).filter(|node| !cycle.contains(node)).collect();
    let merged = outside.len();
    let mut smaller = vec![vec![None; merged + 1]; merged + 1];
    let mut entries = vec![0; merged];
    let mut exits = vec![0; merged];

    for (place, &node) in outside.iter().enumerate() {
        for (other, &to) in outside.iter().enumerate() {
            smaller[place][other] = weights[node][to];
        }

        let entry = |to: &usize| Some((weights[node][*to]?.less(weights[parents[*to]][*to]?), *to));
        if let Some((weight, to)) = cycle.iter().filter_map(entry).min() {
            (smaller[place][merged], entries[place]) = (Some(weight), to);
        }

        if let Some((weight, from)) = cycle
            .iter()
            .filter_map(|from| Some((weights[*from][node]?, *from)))
            .min()
        {
            (smaller[merged][place], exits[place]) = (Some(weight), from);
        }
    }

    let solved = arborescence(&smaller);
    for (place, &node) in outside.iter().enumerate().skip(1) {
        parents[node] = if solved[place] == merged {
            exits[place]
        } else {
            outside[solved[place]]
        };
    }

    let entered_from = solved[merged];
    parents[entries[entered_from]] = outside[entered_from];
    parents
}

/// The nodes of a cycle of parents; `None` if all lead to node 0.
fn cycle_of(parents: &[usize]) -> Option<Vec<usize>> {
    for start in 1..parents.len() {
        let mut seen = vec![start];
        let mut at = parents[start];
        while at != 0 && !seen.contains(&at) {
            seen.push(at);
            at = parents[at];
        }

        if at != 0 {
            let begin = seen.iter().position(|node| *node == at)?;
            return Some(seen.split_off(begin));
        }
    }

    None
}
