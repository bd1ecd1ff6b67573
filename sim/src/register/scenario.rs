//! The settings and the outcome of a run.

/// The settings of a run.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Determines the whole run.
    pub seed: u64,
    /// Regions that the configuration names, each with one acceptor.
    pub regions: usize,
    /// Further regions that may become members.
    pub spare_regions: usize,
    /// Whether members change and stores lose slots.
    pub is_eventful: bool,
    /// Whether, once every member has its vote, a thief of an agent's key asks acceptors for
    /// ballots far beyond all others and publishes such ballots (odd seeds), or a thief of store
    /// credentials rewrites the first region's slots (even seeds).
    pub is_attacked: bool,
    /// Agents in each region.
    pub agents_per_region: usize,
    /// Time until the network heals and agents stop crashing, milliseconds.
    pub faults_ms: u64,
}

/// The outcome of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Values that a majority accepted.
    pub committed: usize,
    /// Elections won.
    pub elections: usize,
    /// Committed changes of members: joins, suspensions, removals, renamings.
    pub member_changes: usize,
    /// Times that an acceptor lost its state.
    pub losses: usize,
    /// Whether fewer than a majority of stores kept their slots.
    pub is_stuck: bool,
    /// From the healing of the network to one leader and a new plan, milliseconds.
    pub healed_after_ms: u64,
}

/// A violated invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    pub seed: u64,
    pub what: String,
}
