//! A change of the register's members that is under way.

use crate::ticket::Ticket;
use regionmesh_protocol::{identity::RegionName, plan::Order, register::members::Incarnation};
use std::time::Instant;

/// A change of members before its commit: an acceptor is joining, or has joined.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) region: RegionName,
    /// None if not ordered: a member without a vote is to get one.
    pub(super) order: Option<(Order, Ticket)>,
    pub(super) joined: Option<Incarnation>,
    /// When it failed; none while it is in progress.
    pub(super) failed: Option<Instant>,
}
