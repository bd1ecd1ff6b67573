//! Operators' orders, and the overrides that they become in a plan.

use super::{MemberOrder, MemberOrderError};
use crate::{
    codec::{self, CodecError},
    identity::{AgentId, MeshName, RegionName},
    status::condition::Condition,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use strum::{Display, IntoStaticStr};

/// Longest name of an operator, characters.
pub const BY_MAX: usize = 128;

/// Longest reason of an order, characters.
pub const WHY_MAX: usize = 512;

/// Shortest duration of an order, milliseconds.
pub const FOR_MIN_MS: u64 = 1_000;

/// Longest duration of an order, milliseconds: 30 days. Permanent decisions belong in the
/// configuration.
pub const FOR_MAX_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// Most overrides in effect.
pub const OVERRIDES_MAX: usize = 64;

/// What an override does.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Display, IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum OverrideKind {
    /// The region gets no traffic.
    Drain,
    /// Automation changes nothing for the region, or for the whole mesh.
    Hold,
    /// The region gets all traffic, unless it failed or drains. One that is out comes back by
    /// cool-down and ramp first, unless the order is immediate.
    Promote,
}

/// An order in effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// The region; none: the whole mesh, which can only be held.
    pub region: Option<RegionName>,
    /// What it does.
    pub kind: OverrideKind,
    /// Who ordered it.
    pub by: String,
    pub why: String,
    /// Whether a promoted region skips cool-down and ramp.
    #[serde(default)]
    pub is_immediate: bool,
    /// When it was set, clock of the leader that accepted it, Unix milliseconds.
    pub set_ms: u64,
    /// When it expires, leader's clock, Unix milliseconds.
    pub expires_ms: u64,
}

/// What an order does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OrderAction {
    /// Set this override.
    Set(OverrideKind),
    /// Remove the override; a drained region comes back by cool-down and ramp.
    Restore,
    /// Change who the register's members are; see `regionmesh_core::planning::membership`.
    Member(MemberOrder),
}

/// An operator's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What an order does.
    pub action: OrderAction,
    /// The region; none: the whole mesh.
    pub region: Option<RegionName>,
    /// Who orders it, at most [`BY_MAX`] printable characters.
    pub by: String,
    /// Why, at most [`WHY_MAX`] printable characters.
    pub why: String,
    /// Duration of an override, milliseconds, [`FOR_MIN_MS`] to [`FOR_MAX_MS`].
    pub for_ms: u64,
    /// Whether it may replace another operator's order and drain the last region that can serve.
    pub is_forced: bool,
    /// Whether a region that it promotes skips cool-down and ramp.
    pub is_immediate: bool,
    /// That an operator gave it; none only before the agent that received it has added it.
    #[serde(default)]
    pub proof: Option<OrderProof>,
}

/// Proof that an operator gave an order. It stays with the order in the plan, so that every agent
/// that judges the plan can check it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderProof {
    /// The agent whose API received the order and checked the operator's token.
    pub agent: AgentId,
    /// When, that agent's clock, Unix milliseconds.
    pub given_ms: u64,
    /// Drawn for this order: it counts once.
    pub nonce: [u8; 16],
    /// HMAC-SHA256 under a key derived from the token, see [`Order::message`].
    pub mac: [u8; 32],
}

/// An override that an order ends, and the time that it had left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    pub existing: Override,
    /// Time left, milliseconds.
    pub left_ms: u64,
}

/// Why an order is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum OrderError {
    /// Before the first plan there is nothing to override.
    #[error("no plan is committed yet, so there is nothing to override")]
    NoPlan,
    /// The mesh has no such region.
    #[error("there is no region {0} in this mesh")]
    UnknownRegion(RegionName),
    /// Only a hold can be for the whole mesh.
    #[error("a {0} needs a region; only a hold can be for the whole mesh")]
    NoRegion(OverrideKind),
    /// A text is empty or too long.
    #[error("`{what}` has {length} characters, expected 1 to {limit}")]
    Text {
        /// Which text.
        what: String,
        /// Its length, characters.
        length: usize,
        /// The most, characters.
        limit: usize,
    },
    /// Too short or too long.
    #[error("{0} ms is not within {FOR_MIN_MS} ms to {FOR_MAX_MS} ms (30 days)")]
    Duration(u64),
    /// The limit of overrides is reached.
    #[error("{OVERRIDES_MAX} overrides are in effect already; restore some first")]
    TooMany,
    /// The region can't serve.
    #[error("{region} can't be promoted, its verdict is {condition}: {reason}")]
    Unfit {
        region: RegionName,
        condition: Condition,
        reason: String,
    },
    /// The register's members can't be changed so.
    #[error(transparent)]
    Member(#[from] MemberOrderError),
    /// It would end what another operator ordered.
    #[error("this {order} would replace {}", Replaced::list(.replaced))]
    WouldReplace {
        /// What was ordered.
        order: OverrideKind,
        /// The overrides that it would end.
        replaced: Vec<Replaced>,
    },
    /// No region would be left to take the traffic.
    #[error("{}", last_serving(.region, .carrier))]
    LastServing {
        region: RegionName,
        /// The drained region that would have the traffic.
        carrier: RegionName,
    },
    /// Nothing to take back.
    #[error("no override is in effect for {}", region_or_mesh(.0))]
    NothingInEffect(Option<RegionName>),
    /// A text would forge lines of a log, or rewrite a terminal.
    #[error(
        "`{what}` holds {found:?}; control characters, line breaks and changes of direction are \
         not allowed"
    )]
    Unprintable {
        /// Which text.
        what: String,
        /// The first such character.
        found: char,
    },
}

impl Order {
    /// The message that the MAC of its proof covers.
    fn message(&self, mesh: &MeshName, proof: &OrderProof) -> Result<Vec<u8>, CodecError> {
        let unproven = Self {
            proof: None,
            ..self.clone()
        };
        codec::encode_document(&(
            "regionmesh operator's order 1",
            mesh,
            unproven,
            &proof.agent,
            proof.given_ms,
            proof.nonce,
        ))
    }

    /// The order with the proof that `agent` received it. `sign` returns the MAC of a message.
    pub fn proven(
        self,
        mesh: &MeshName,
        agent: AgentId,
        given_ms: u64,
        nonce: [u8; 16],
        sign: impl FnOnce(&[u8]) -> Result<[u8; 32], String>,
    ) -> Result<Self, String> {
        let mut proof = OrderProof {
            agent,
            given_ms,
            nonce,
            mac: [0; 32],
        };
        let message = self
            .message(mesh, &proof)
            .map_err(|error| error.to_string())?;
        proof.mac = sign(&message)?;

        let proof = Some(proof);
        Ok(Self { proof, ..self })
    }

    /// Checks the proof. `is_valid` checks the MAC of a message.
    pub fn check_proof(
        &self,
        mesh: &MeshName,
        is_valid: impl FnOnce(&[u8], &[u8; 32]) -> Result<bool, String>,
    ) -> Result<(), String> {
        let proof = self.proof.as_ref().ok_or("it has no proof")?;
        let message = self
            .message(mesh, proof)
            .map_err(|error| error.to_string())?;
        match is_valid(&message, &proof.mac)? {
            true => Ok(()),
            false => Err("its proof does not match any known token".into()),
        }
    }

    /// Whether `existing` is the override that this order sets.
    pub fn sets(&self, existing: &Override) -> bool {
        self.action == OrderAction::Set(existing.kind)
            && self.region == existing.region
            && self.by == existing.by
            && self.why == existing.why
            && existing.is_immediate
                == (existing.kind == OverrideKind::Promote && self.is_immediate)
    }

    /// Whether it may end an override for `region`: that of its own region, and any other promotion
    /// if it promotes.
    pub fn ends(&self, existing: &Override) -> bool {
        let is_promotion = self.action == OrderAction::Set(OverrideKind::Promote);
        self.region == existing.region || (is_promotion && existing.kind == OverrideKind::Promote)
    }
}

impl OverrideKind {
    /// The word for it, as in JSON, paths and commands.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Override {
    /// Whether both are the same order; its times differ by leaders' clocks.
    pub fn is_same(&self, other: &Self) -> bool {
        self.region == other.region
            && self.kind == other.kind
            && self.by == other.by
            && self.why == other.why
            && self.is_immediate == other.is_immediate
    }

    /// Whether it has expired.
    pub fn is_expired(&self, now_ms: u64) -> bool {
        now_ms >= self.expires_ms
    }

    /// The time until it expires, for people: `2 h 5 min`.
    pub fn time_left(&self, now_ms: u64) -> String {
        duration_in_words(self.expires_ms.saturating_sub(now_ms))
    }
}

impl fmt::Display for Override {
    /// `drain of eu-west-1 by ann (maintenance)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = region_or_mesh(&self.region);
        write!(f, "{} of {of} by {} ({})", self.kind, self.by, self.why)
    }
}

impl Replaced {
    /// Several of them in one clause.
    pub fn list(replaced: &[Self]) -> String {
        let each: Vec<String> = replaced.iter().map(Self::to_string).collect();
        each.join(" and ")
    }
}

impl fmt::Display for Replaced {
    /// `the drain of eu-west-1 by ann (maintenance), 1 h 30 min left`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the {}, {} left",
            self.existing,
            duration_in_words(self.left_ms)
        )
    }
}

fn region_or_mesh(region: &Option<RegionName>) -> &str {
    region.as_ref().map_or("the whole mesh", RegionName::as_str)
}

fn last_serving(region: &RegionName, carrier: &RegionName) -> String {
    let head =
        format!("{region} is the last region that can serve: it would be drained in name only");
    if region == carrier {
        format!("{head} and keep its traffic")
    } else {
        format!("{head}, or its traffic would go to {carrier}, which is drained as well")
    }
}

/// `2 h 5 min`, `45 s`: the two largest units.
fn duration_in_words(ms: u64) -> String {
    let s = ms.div_ceil(1_000);
    let d = s / 86_400;
    let h = s / 3_600 % 24;
    let min = s / 60 % 60;

    match (d, h, min) {
        (0, 0, 0) => format!("{s} s"),
        (0, 0, _) if s.is_multiple_of(60) => format!("{min} min"),
        (0, 0, _) => format!("{min} min {} s", s % 60),
        (0, _, 0) => format!("{h} h"),
        (0, ..) => format!("{h} h {min} min"),
        (_, 0, _) => format!("{d} d"),
        _ => format!("{d} d {h} h"),
    }
}

#[cfg(test)]
mod tests;
