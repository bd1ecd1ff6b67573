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
fn lines_are_put_together_from_pieces_and_have_an_end() {
    let mut lines = Lines::default();
    assert_eq!(lines.add(b"id: 1\nda").unwrap(), ["id: 1"]);
    assert_eq!(lines.add(b"ta: {}\r\n\n").unwrap(), ["data: {}", ""]);
    assert!(lines.add(&vec![b'x'; LINE_MAX + 1]).is_none());
}

#[test]
fn what_was_shown_is_not_shown_again_and_memory_is_bounded() {
    let mut shown = Shown::default();
    assert!(shown.add("a") && !shown.add("a"));
    for number in 0..REMEMBERED {
        assert!(shown.add(&number.to_string()));
    }
    assert!(shown.ids.len() == REMEMBERED && shown.order.len() == REMEMBERED && shown.add("a"));
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
