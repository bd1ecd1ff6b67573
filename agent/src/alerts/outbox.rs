//! The events that wait for one receiver. Pure: time is handed in.
//!
//! Every agent keeps one, on duty or not: who takes over finds there what nobody has delivered yet.
//! What another agent says on the board that it delivered goes; what is too old, or too much, goes
//! too.

use regionmesh_protocol::{event::Event, identity::AgentId};
use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

/// Events that wait for one receiver at most.
pub const QUEUE_MAX: usize = 256;
/// Who takes over waits so long before it tells of what happened earlier: the one before may be
/// about to deliver it, and its receipt on the way.
pub const TAKEOVER: Duration = Duration::from_secs(3);

/// The queue.
#[derive(Debug)]
pub struct Outbox {
    own: AgentId,
    deadline: Duration,
    waiting: VecDeque<(Instant, Arc<Event>)>,
    responsible_since: Option<Instant>,
}

impl Outbox {
    /// An empty one of the agent `own`; an event that waited for `deadline` is not worth telling
    /// any more.
    pub fn new(own: AgentId, deadline: Duration) -> Self {
        Self {
            own,
            deadline,
            waiting: VecDeque::new(),
            responsible_since: None,
        }
    }

    /// An event happened. Tells whether an older one had to go that was ours to tell.
    pub fn add(&mut self, event: Arc<Event>, now: Instant) -> bool {
        self.waiting.push_back((now, event));
        if self.waiting.len() <= QUEUE_MAX {
            return false;
        }
        self.waiting
            .pop_front()
            .is_some_and(|(_, event)| self.is_ours(&event))
    }

    /// Whether it is this agent that tells the receiver.
    pub fn set_responsible(&mut self, is_responsible: bool, now: Instant) {
        self.responsible_since = is_responsible.then(|| self.responsible_since.unwrap_or(now));
    }

    /// Drops what others have delivered.
    pub fn strike(&mut self, delivered: &HashSet<&str>) {
        self.waiting
            .retain(|(_, event)| !delivered.contains(event.id.as_str()));
    }

    /// Drops what is too old; how many of them were ours to tell.
    pub fn expire(&mut self, now: Instant) -> u64 {
        let mut expired = 0;
        while let Some((at, event)) = self.waiting.front()
            && now.saturating_duration_since(*at) > self.deadline
        {
            expired += u64::from(self.is_ours(event));
            self.waiting.pop_front();
        }

        expired
    }

    /// The next event that is ours to tell now.
    pub fn next(&self, now: Instant) -> Option<Arc<Event>> {
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

    /// The event was delivered, or never will be.
    pub fn done(&mut self, id: &str) {
        self.waiting.retain(|(_, event)| event.id != id);
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn is_ours(&self, event: &Event) -> bool {
        self.is_witnessed(event)
            || (event.reported_by.is_none() && self.responsible_since.is_some())
    }

    /// Nobody else can tell of it.
    fn is_witnessed(&self, event: &Event) -> bool {
        event.reported_by.as_ref() == Some(&self.own)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::events::tests::event;
    use proptest::prelude::*;
    use regionmesh_protocol::event::EventKind;

    fn outbox() -> Outbox {
        Outbox::new("a/x".parse().unwrap(), Duration::from_secs(600))
    }

    fn told(number: u64) -> Arc<Event> {
        Arc::new(event(number, EventKind::Plan, "a"))
    }

    proptest! {
        /// Whichever of two agents is on duty when, and however receipts are late, each event is
        /// told, and told once if duty does not change hands faster than receipts travel.
        #[test]
        fn a_change_of_duty_loses_nothing_and_repeats_nothing(
            steps in prop::collection::vec((0u64..1_500, prop::option::weighted(0.15, any::<bool>()), any::<bool>()), 1..80),
            receipt_ms in 0u64..2_900,
        ) {
            let start = Instant::now();
            let mut boxes = [outbox(), outbox()];
            let mut now_ms = 0u64;
            let mut responsible_agent = 0usize;
            let mut number = 0u64;
            let mut delivered: Vec<(u64, usize, String)> = Vec::new();
            let mut all: Vec<String> = Vec::new();

            // At the end there is time for all.
            let steps = steps
                .into_iter()
                .chain(std::iter::repeat_n((1_000, None, false), 20));
            for (pause_ms, change, happens) in steps {
                now_ms += pause_ms;
                let now = start + Duration::from_millis(now_ms);
                if let Some(other) = change {
                    responsible_agent = usize::from(other);
                }

                for (index, outbox) in boxes.iter_mut().enumerate() {
                    outbox.set_responsible(index == responsible_agent, now);
                    let known = delivered
                        .iter()
                        .filter(|(at, by, _)| *by != index && at + receipt_ms <= now_ms);
                    outbox.strike(&known.map(|(_, _, id)| id.as_str()).collect());
                }

                if happens {
                    number += 1;
                    let event = told(number);
                    all.push(event.id.clone());
                    for outbox in &mut boxes {
                        outbox.add(event.clone(), now);
                    }
                }

                while let Some(event) = boxes[responsible_agent].next(now) {
                    delivered.push((now_ms, responsible_agent, event.id.clone()));
                    boxes[responsible_agent].done(&event.id);
                }
            }

            let mut ids: Vec<_> = delivered.iter().map(|(_, _, id)| id.clone()).collect();
            ids.sort();
            all.sort();
            prop_assert_eq!(ids, all);
        }
    }

    #[test]
    fn who_is_not_on_duty_tells_only_what_nobody_else_can() {
        let mut outbox = outbox();
        let now = Instant::now();
        outbox.add(told(1), now);
        assert_eq!(outbox.next(now), None);

        let reported_by = Some("a/x".parse().unwrap());
        outbox.add(
            Arc::new(Event {
                reported_by,
                ..event(2, EventKind::Drift, "a")
            }),
            now,
        );

        assert_eq!(outbox.next(now).unwrap().id, "drift:2");
        outbox.done("drift:2");
        outbox.set_responsible(true, now + Duration::from_secs(1));
        assert_eq!(outbox.next(now + Duration::from_secs(1)), None);
        assert_eq!(
            outbox
                .next(now + Duration::from_secs(1) + TAKEOVER)
                .unwrap()
                .id,
            "plan:1"
        );
    }

    #[test]
    fn what_is_too_much_or_too_old_goes_and_only_what_was_ours_is_counted() {
        let mut outbox = outbox();
        let now = Instant::now();
        assert!((0..QUEUE_MAX as u64).all(|number| !outbox.add(told(number), now)));
        assert!(!outbox.add(told(1_000), now));
        outbox.set_responsible(true, now);
        assert!(outbox.add(told(1_001), now));
        assert_eq!(outbox.len(), QUEUE_MAX);
        assert_eq!(outbox.expire(now + Duration::from_secs(600)), 0);
        assert_eq!(
            outbox.expire(now + Duration::from_secs(601)),
            QUEUE_MAX as u64
        );

        assert!(outbox.is_empty());
    }
}
