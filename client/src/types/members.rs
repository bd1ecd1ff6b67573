//! The JSON of the routes about members of the register.

use regionmesh_protocol::identity::RegionName;
use serde::{Deserialize, Serialize};

/// `GET /v1/failover/members`: who votes in the register and gets traffic.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MembersStatus {
    /// The agent that answers.
    pub answered_by: String,
    /// Which register; none before the first plan.
    pub register: Option<String>,
    /// Number of the plan that names them.
    pub seq: Option<u64>,
    /// Votes that decide.
    pub majority: u64,
    /// Why automatic failover is refused; none if it is not.
    pub automatic_refused: Option<String>,
    /// Every member, and every region of the agent's configuration.
    pub members: Vec<MemberStatus>,
}

/// One member, or one region that could be one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MemberStatus {
    /// The region, or `reported_by`.
    pub member: RegionName,
    /// Whether it is a member.
    pub is_member: bool,
    /// Whether it is the witness: a store and no region.
    pub is_witness: bool,
    /// Whether the answering agent's configuration has it.
    pub is_configured: bool,
    /// `counts`, `joining` (a member whose acceptor lost its state, or was not heard yet), `none`
    /// (no member).
    pub vote: String,
    /// The incarnation of its acceptor whose votes count.
    pub acceptor: Option<String>,
    /// Agents of it that live, as far as the answering agent knows.
    pub agents_alive: u64,
    /// Its share of the traffic, 0 to 1.
    pub share: f64,
}

/// `POST /v1/failover/members/add` and `remove`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberBody {
    /// The region, or `reported_by`.
    pub region: String,
    /// Who orders it.
    #[serde(default)]
    pub by: String,
    /// The operator's reason.
    #[serde(default)]
    pub why: String,
    /// Also with traffic on it (`remove`), or if automatic failover is refused from then on.
    #[serde(default)]
    pub force: bool,
}

/// `POST /v1/failover/members/rename`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewNameBody {
    pub region: String,
    /// Its new name.
    pub to: String,
    /// Who orders it.
    #[serde(default)]
    pub by: String,
    /// The operator's reason.
    #[serde(default)]
    pub why: String,
}
