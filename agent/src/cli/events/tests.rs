use super::*;

#[test]
fn since_is_a_duration_or_a_point_in_time() {
    assert_eq!(since("1h30m"), Ok(Since::Ago(Duration::from_secs(5_400))));
    assert_eq!(since("1970-01-01T00:00:02+00:00"), Ok(Since::At(2_000)));
    for wrong in ["", "yesterday", "2026-11-29", "1960-01-01T00:00:00Z"] {
        assert!(since(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn lines_are_assembled_from_pieces_and_bounded() {
    let mut lines = Lines::default();
    assert_eq!(lines.add(b"id: 1\nda").unwrap(), ["id: 1"]);
    assert_eq!(lines.add(b"ta: {}\r\n\n").unwrap(), ["data: {}", ""]);
    assert!(lines.add(&vec![b'x'; LINE_MAX + 1]).is_none());
}

#[test]
fn an_event_is_printed_once_and_memory_is_bounded() {
    let mut printed = Printed::default();
    assert!(printed.add("a") && !printed.add("a"));
    for number in 0..IDS_MAX {
        assert!(printed.add(&number.to_string()));
    }
    assert!(printed.ids.len() == IDS_MAX && printed.order.len() == IDS_MAX && printed.add("a"));
}

#[test]
fn an_event_is_one_line_that_cannot_move_the_cursor() {
    let event = EventEntry {
        id: "i".into(),
        kind: EventKind::FenceLost,
        severity: Severity::Warning,
        time_ms: 951_782_400_000,
        region: None,
        text: "fenced\x1b[2J\noff".into(),
        fields: Default::default(),
        reported_by: None,
    };

    let line = render(&event, Paint { is_on: false });
    assert_eq!(
        line,
        "2000-02-29 00:00:00 UTC  warning   fence-lost   fenced [2J off"
    );
}
