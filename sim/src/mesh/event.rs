//! What can happen in the world.

use super::{
    fault::DiskFate,
    models::work::WorkEvent,
    node::{Acceptor, Answer, NodeInput, Question, Ticket},
    store::{Operation, Outcome},
};
use regionmesh_core::health::Probe;

/// One run of an agent: a restarted one does not get what was meant for the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) agent: usize,
    pub(crate) life: u32,
}

/// A packet between two agents.
#[derive(Debug, Clone)]
pub(crate) struct Packet {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Of the link that it travels on; datagrams survive a new link.
    pub(crate) epoch: u32,
    pub(crate) body: Body,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    Datagram(Vec<u8>),
    Question {
        caller: Process,
        ticket: Ticket,
        question: Question,
    },
    Answer {
        caller: Process,
        ticket: Ticket,
        answer: Answer,
    },
}

/// An event at some time.
#[derive(Debug)]
pub(crate) enum Event {
    Wake(Process),
    Input(Process, Box<NodeInput>),
    /// A probe begins.
    Probe(Process, Box<Probe>),
    /// A packet reaches its agent.
    Arrive(Box<Packet>),
    /// A stream's packet that could not be sent is tried again.
    Resend(Box<Packet>),
    /// The caller waits no longer.
    CallTimeout(Process, Ticket),
    /// An operation reaches its store.
    StoreRun(Process, Acceptor, Operation),
    /// Its outcome reaches its process.
    StoreRan(Process, Acceptor, Outcome),
    /// Work on models.
    Work(Process, WorkEvent),
    /// A process starts, unless another one runs.
    Boot {
        agent: usize,
        disk: DiskFate,
    },
    FaultBegins(usize),
    FaultEnds(usize),
    /// Links are looked after.
    Links,
    /// A resolver's answer expires.
    Resolve(usize),
    Heal,
    /// The laws about quiet times are checked.
    CheckQuiet,
    /// The laws about time after healing are checked.
    CheckHealed,
}
