//! Faults as data: an explicit list of them, with the seed, determines a run.

use super::models::act::Act;
use std::fmt;

/// A fault or an operator's act, at a given time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fault {
    pub(crate) at_ms: u64,
    /// For faults that last: how long.
    pub(crate) for_ms: u64,
    pub(crate) kind: FaultKind,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FaultKind {
    /// An agent's process dies and starts again after `for_ms`.
    Crash {
        agent: usize,
        disk: DiskFate,
    },
    /// A process stands still.
    Pause {
        agent: usize,
    },
    /// One direction between two regions is cut.
    CutOneWay {
        from: usize,
        to: usize,
    },
    /// Both directions between two regions are cut.
    Cut {
        from: usize,
        to: usize,
    },
    /// A region is cut off from all others.
    Isolate {
        region: usize,
    },
    /// A cut between two regions that comes and goes.
    Flap {
        from: usize,
        to: usize,
        on_ms: u64,
        off_ms: u64,
    },
    /// All packets from one region to another are lost for `on_ms` in `on_ms + off_ms`.
    Bursts {
        from: usize,
        on_ms: u64,
        off_ms: u64,
    },
    /// Packets are lost independently.
    Loss {
        ppm: u64,
    },
    /// Packets arrive twice.
    Duplicates {
        ppm: u64,
    },
    /// Some packets take up to a few seconds.
    Late {
        ppm: u64,
        most_ms: u64,
    },
    Store {
        store: usize,
        kind: StoreFault,
    },
    /// Slots of the register are deleted.
    LoseSlots {
        store: usize,
        which: u8,
    },
    /// A thief of a store's credentials makes its acceptor promise the highest ballot.
    ForgeSlots {
        store: usize,
    },
    /// A region's store no longer honours conditions, and its agents start anew.
    Unconditional {
        region: usize,
    },
    /// The wall clock is set.
    SetClock {
        agent: usize,
        by_ms: i64,
    },
    /// The region's endpoint changes; it works again afterwards.
    Endpoint {
        region: usize,
        state: EndpointState,
    },
    Order {
        agent: usize,
        order: OrderKind,
    },
    /// A user publishes or deletes a version, or a store loses a file.
    Model(Act),
}

/// What a restarted process finds on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DiskFate {
    Kept,
    Lost,
    /// A copy from some time ago.
    Copied,
}

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreFault {
    /// Operations take this many times as long.
    Slow { factor: u64 },
    /// Operations succeed, and their replies get lost.
    LosesReplies { ppm: u64 },
    /// Operations fail (503).
    Unavailable { ppm: u64 },
    /// Writes are answered with 412 although they took place: the client has repeated them.
    RepeatsWrites { ppm: u64 },
    /// Writes are answered with 200 and not kept.
    Forgets { ppm: u64 },
}

/// How a region's endpoint behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndpointState {
    Up,
    /// Refuses connections.
    Refusing,
    /// Never answers.
    Hanging,
    /// Answers its own region only: the path from outside is broken.
    Unreachable,
    /// Fails some requests.
    Gray {
        ppm: u64,
    },
}

impl EndpointState {
    /// Whether it treats all requests alike.
    pub(crate) fn is_certain(self) -> bool {
        !matches!(self, Self::Gray { .. })
    }

    /// Whether no request from outside is ever answered.
    pub(crate) fn is_down(self) -> bool {
        matches!(self, Self::Refusing | Self::Hanging | Self::Unreachable)
    }
}

/// What an operator orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrderKind {
    Drain { region: usize },
    Hold { region: Option<usize> },
    Promote { region: usize, is_immediate: bool },
    Restore { region: usize },
    RemoveMember { region: usize },
    AddMember { region: usize },
}

impl FaultKind {
    /// Whether it disturbs agents, rather than endpoints.
    pub(crate) fn disturbs(&self) -> bool {
        !matches!(
            self,
            Self::Endpoint { .. } | Self::Order { .. } | Self::Model(_)
        )
    }

    /// Whether it ends after [`Fault::for_ms`].
    pub(crate) fn lasts(&self) -> bool {
        !matches!(
            self,
            Self::LoseSlots { .. }
                | Self::ForgeSlots { .. }
                | Self::SetClock { .. }
                | Self::Order { .. }
                | Self::Model(_)
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8.3} s", self.at_ms as f64 / 1e3)?;
        match self.kind.lasts() {
            true => write!(f, " for {:7.3} s  ", self.for_ms as f64 / 1e3)?,
            false => write!(f, "                ")?,
        }
        write!(f, "{:?}", self.kind)
    }
}
