#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

/// An event about `region`.
pub(crate) fn event(number: u64, kind: EventKind, region: &str) -> Event {
    Event {
        id: format!("{kind}:{number}"),
        kind,
        severity: if kind == EventKind::Verdict {
            Severity::Critical
        } else {
            Severity::Info
        },
        time_ms: number,
        region: Some(region.parse().unwrap()),
        fields: [("number", number.to_string())].into(),
        text: format!("event {number} of {region}"),
        reported_by: None,
    }
}

proptest! {
    /// With any sequence of pages, a reader gets each wanted event in the log once, in order.
    #[test]
    fn a_returning_reader_misses_nothing_and_gets_nothing_twice(
        before in 0u64..1_500,
        between in 0u64..300,
        limit in 1usize..200,
        is_picky in any::<bool>(),
    ) {
        let mut log = EventLog::new(7);
        let fill = |log: &mut EventLog, count: u64| {
            for _ in 0..count {
                let number = log.last() + 1;
                log.add(event(number, EventKind::ALL[(number % 2) as usize], "a"));
            }
        };

        fill(&mut log, before);
        let wanted = Wanted {
            kinds: if is_picky {
                vec![EventKind::Plan]
            } else {
                Vec::new()
            },
            ..Wanted::default()
        };

        let mut cursor = Cursor {
            boot: Some(7),
            seq: 0,
        };
        let mut read = Vec::new();

        for turn in 0.. {
            let page = log.after(cursor, &wanted, limit);
            prop_assert!(page.events.len() <= limit);
            read.extend(page.events.iter().map(|noticed| noticed.seq));
            prop_assert_eq!(page.next.to_string().parse::<Cursor>().unwrap(), page.next);
            cursor = page.next;

            if turn == 0 {
                fill(&mut log, between);
            } else if cursor.seq == log.last() {
                break;
            }
        }

        prop_assert!(read.is_sorted_by(|a, b| a < b));
        let total = before + between;
        let available = total.saturating_sub(EVENTS_MAX as u64) + 1..=total;
        let expected: Vec<u64> = available.filter(|seq| !is_picky || seq % 2 == 1).collect();

        prop_assert!(read.ends_with(&expected), "{:?} and {:?}", read, expected);
    }
}

#[test]
fn a_gap_is_reported_and_a_cursor_of_another_process_starts_over() {
    let mut log = EventLog::new(7);
    let all = Wanted::default();
    assert!(!log.after(Cursor { boot: None, seq: 0 }, &all, 9).has_gap);
    for number in 1..=EVENTS_MAX as u64 + 5 {
        log.add(event(number, EventKind::Plan, "a"));
    }

    for (boot, seq, has_gap, first) in [
        (Some(7), 4, true, 6),
        (Some(7), 5, false, 6),
        (None, 9, false, 10),
        (Some(8), 900, true, 6),
    ] {
        let page = log.after(Cursor { boot, seq }, &all, 9);
        assert_eq!((page.has_gap, page.events[0].seq), (has_gap, first));
    }

    assert!(
        log.after(
            Cursor {
                boot: Some(7),
                seq: 9_999
            },
            &all,
            9
        )
        .has_gap
    );
}

#[test]
fn the_tail_is_the_last_matching_events() {
    let mut log = EventLog::new(1);
    for (number, region) in [(1, "a"), (2, "b"), (3, "a"), (4, "b")] {
        log.add(event(number, EventKind::Verdict, region));
    }

    let wanted = Wanted {
        regions: vec!["a".parse().unwrap()],
        ..Wanted::default()
    };
    let tail = |limit| {
        let page = log.after(log.tail(&wanted, limit), &wanted, 100);
        page.events
            .iter()
            .map(|noticed| noticed.seq)
            .collect::<Vec<_>>()
    };

    assert_eq!([tail(0), tail(1), tail(9)], [vec![], vec![3], vec![1, 3]]);
}
