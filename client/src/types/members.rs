//! The JSON of the routes about members of the register.

use regionmesh_protocol::{
    identity::RegionName,
    plan::{BY_MAX, WHY_MAX},
    schema::printable,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who votes in the register and gets traffic.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MembersStatus {
    /// The agent that answers: `region/name`.
    pub answered_by: String,
    /// The register's id; null before the first plan.
    pub register: Option<String>,
    /// The number of the plan that names the members; null before the first.
    pub seq: Option<u64>,
    /// How many votes decide.
    pub majority: u64,
    /// Why automatic failover is refused; null if it is not.
    pub automatic_refused: Option<String>,
    /// Every member, and every region of the answering agent's configuration.
    pub members: Vec<MemberStatus>,
}

/// A member of the register, or a region that could become one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct MemberStatus {
    /// The region, or `witness`.
    pub member: RegionName,
    /// Whether it is a member.
    pub is_member: bool,
    /// Whether it is the witness: a store without a region.
    pub is_witness: bool,
    /// Whether it is in the answering agent's configuration.
    pub is_configured: bool,
    /// `counts`; `joining`: its acceptor lost its state, or was not heard yet; `none`: not a
    /// member.
    pub vote: String,
    /// The incarnation of its acceptor whose votes count; null if none does.
    pub acceptor: Option<String>,
    /// How many of its agents are alive, as far as the answering agent knows.
    pub agents_alive: u64,
    /// Its share of the traffic, 0 to 1.
    pub share: f64,
}

/// A member to add or remove.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["region", "by"]))]
pub struct MemberBody {
    /// The region, or `witness`.
    #[schemars(with = "RegionName")]
    pub region: String,
    /// The author of the order; optional if the token has a name, which takes precedence.
    #[schemars(length(min = 1, max = BY_MAX), pattern(printable("+")))]
    #[serde(default)]
    pub by: String,
    /// The operator's reason.
    #[schemars(length(max = WHY_MAX), pattern(printable("*")))]
    #[serde(default)]
    pub why: String,
    /// Remove it even if it has traffic; add or remove it even if that disables automatic failover.
    #[serde(default)]
    pub force: bool,
}

/// A member to rename.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("required" = ["region", "to", "by"]))]
pub struct NewNameBody {
    /// The region.
    #[schemars(with = "RegionName")]
    pub region: String,
    /// Its new name.
    #[schemars(with = "RegionName")]
    pub to: String,
    /// The author of the order; optional if the token has a name, which takes precedence.
    #[schemars(length(min = 1, max = BY_MAX), pattern(printable("+")))]
    #[serde(default)]
    pub by: String,
    /// The operator's reason.
    #[schemars(length(max = WHY_MAX), pattern(printable("*")))]
    #[serde(default)]
    pub why: String,
}
