//! How often the parts act without an input.

use std::time::Duration;

/// Interval between two ticks of health.
pub(super) const HEALTH_TICK: Duration = Duration::from_millis(500);
/// Shortest time between two boards that health reads.
pub(super) const HEALTH_BOARD_PAUSE: Duration = Duration::from_millis(20);
/// Longest time between two ticks of the leader part while something is under way: the resolution
/// of the timeouts of proposer and election.
pub(crate) const LEADER_TICK: Duration = Duration::from_millis(100);
/// The same while nothing is: plans that follow from the time alone may be that late.
pub(crate) const LEADER_IDLE: Duration = Duration::from_millis(500);
/// Shortest time between two ticks of the leader part, however busy the board is.
pub(super) const LEADER_PAUSE: Duration = Duration::from_millis(20);
/// How often replication checks what is due when nothing changes.
pub(super) const REPLICATION_TICK: Duration = Duration::from_millis(500);
/// Shortest time between two boards that replication reads. The board changes many times a second;
/// what is held changes rarely.
pub(super) const REPLICATION_BOARD_PAUSE: Duration = Duration::from_millis(50);
