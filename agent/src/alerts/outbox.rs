//! The queue of events for one receiver. Pure: time is an argument.
//!
//! Every agent has one, responsible or not: an agent that takes over finds all undelivered events
//! in its own. Events that another agent reports as delivered are removed, and so are events that
//! are too old or too many.

use regionmesh_protocol::{event::Event, identity::AgentId};
use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// Limit on queued events per receiver.
pub(crate) const QUEUE_MAX: usize = 256;
/// Delay before an agent that took over sends earlier events: its predecessor may be delivering
/// them, or their receipts may be on the way.
pub(crate) const TAKEOVER: Duration = Duration::from_secs(3);

/// The queue of events for one receiver.
#[derive(Debug)]
pub(crate) struct Outbox {
    own: AgentId,
    deadline: Duration,
    waiting: VecDeque<(Instant, Arc<Event>)>,
    responsible_since: Option<Instant>,
}

impl Outbox {
    /// An empty queue of the agent `own`; events older than `deadline` are dropped.
    pub(crate) fn new(own: AgentId, deadline: Duration) -> Self {
        Self {
            own,
            deadline,
            waiting: VecDeque::new(),
            responsible_since: None,
        }
    }

    /// Adds an event. True if this dropped an older one that this agent should have sent.
    pub(crate) fn add(&mut self, event: Arc<Event>, now: Instant) -> bool {
        self.waiting.push_back((now, event));
        if self.waiting.len() <= QUEUE_MAX {
            return false;
        }
        self.waiting
            .pop_front()
            .is_some_and(|(_, event)| self.is_ours(&event))
    }

    /// Sets whether this agent is responsible for the receiver.
    pub(crate) fn set_responsible(&mut self, is_responsible: bool, now: Instant) {
        self.responsible_since = is_responsible.then(|| self.responsible_since.unwrap_or(now));
    }

    /// Removes events that others have delivered.
    pub(crate) fn strike(&mut self, delivered: &HashSet<&str>) {
        self.waiting
            .retain(|(_, event)| !delivered.contains(event.id.as_str()));
    }

    /// Drops events that are too old; the number of those that this agent should have sent.
    pub(crate) fn expire(&mut self, now: Instant) -> u64 {
        let mut expired = 0;
        while let Some((at, event)) = self.waiting.front()
            && now.saturating_duration_since(*at) > self.deadline
        {
            expired += u64::from(self.is_ours(event));
            self.waiting.pop_front();
        }

        expired
    }

    /// The next event that this agent should send now.
    pub(crate) fn next(&self, now: Instant) -> Option<Arc<Event>> {
        let is_due = |(at, event): &&(Instant, Arc<Event>)| match (
            self.is_witnessed(event),
            self.responsible_since,
        ) {
            (true, _) => true,
            (false, None) => false,
            (false, Some(since)) => *at > since || now >= since + TAKEOVER,
        };

        self.waiting
            .iter()
            .find(is_due)
            .map(|(_, event)| event.clone())
    }

    /// Removes an event that was delivered, or never will be.
    pub(crate) fn done(&mut self, id: &str) {
        self.waiting.retain(|(_, event)| event.id != id);
    }

    /// Number of queued events.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the queue is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn is_ours(&self, event: &Event) -> bool {
        self.is_witnessed(event)
            || (event.reported_by.is_none() && self.responsible_since.is_some())
    }

    /// Whether only this agent has seen the event.
    fn is_witnessed(&self, event: &Event) -> bool {
        event.reported_by.as_ref() == Some(&self.own)
    }
}

#[cfg(test)]
mod tests;
