#![allow(clippy::unwrap_used)]

use super::*;
use crate::events::tests::event;
use proptest::prelude::*;
use regionmesh_protocol::event::EventKind;

fn outbox() -> Outbox {
    Outbox::new("a/x".parse().unwrap(), Duration::from_secs(600))
}

fn numbered(number: u64) -> Arc<Event> {
    Arc::new(event(number, EventKind::Plan, "a"))
}

proptest! {
    /// Whichever of two agents is responsible, and however late receipts are, each event is
    /// sent; and it is sent once if the responsibility changes more slowly than receipts
    /// travel.
    #[test]
    fn a_change_of_the_responsible_agent_loses_and_repeats_nothing(
        steps in prop::collection::vec(
            (0u64..1_500, prop::option::weighted(0.15, any::<bool>()), any::<bool>()),
            1..80,
        ),
        receipt_ms in 0u64..2_900,
    ) {
        let start = Instant::now();
        let mut boxes = [outbox(), outbox()];
        let mut now_ms = 0u64;
        let mut responsible_agent = 0usize;
        let mut number = 0u64;
        let mut delivered: Vec<(u64, usize, String)> = Vec::new();
        let mut all: Vec<String> = Vec::new();

        // At the end there is time to send all of them.
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
                let event = numbered(number);
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
fn an_agent_that_is_not_responsible_sends_only_what_it_alone_has_seen() {
    let mut outbox = outbox();
    let now = Instant::now();
    outbox.add(numbered(1), now);
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
fn excess_and_expired_events_are_dropped_and_only_our_own_are_counted() {
    let mut outbox = outbox();
    let now = Instant::now();
    assert!((0..QUEUE_MAX as u64).all(|number| !outbox.add(numbered(number), now)));
    assert!(!outbox.add(numbered(1_000), now));
    outbox.set_responsible(true, now);
    assert!(outbox.add(numbered(1_001), now));
    assert_eq!(outbox.len(), QUEUE_MAX);
    assert_eq!(outbox.expire(now + Duration::from_secs(600)), 0);
    assert_eq!(
        outbox.expire(now + Duration::from_secs(601)),
        QUEUE_MAX as u64
    );

    assert!(outbox.is_empty());
}
