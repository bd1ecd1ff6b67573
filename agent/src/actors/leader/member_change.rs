//! A change of the register's members that is under way.

use ractor::RpcReplyPort;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{CommittedPlan, Order},
    register::members::Incarnation,
    wire::OrderRefusal,
};
use std::time::Instant;

/// A change of members before its commit: an acceptor is joining, or has joined.
pub(super) struct Change {
    pub(super) region: RegionName,
    /// None if not ordered: a member without a vote is to get one.
    pub(super) order: Option<(Order, OrderReply)>,
    pub(super) joined: Option<Incarnation>,
    /// When it failed; none while it is in progress.
    pub(super) failed: Option<Instant>,
}

/// Where the answer to an order goes.
pub(super) type OrderReply = RpcReplyPort<Result<CommittedPlan, OrderRefusal>>;
