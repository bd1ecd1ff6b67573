use super::*;

#[test]
fn columns_line_up_with_and_without_colour() {
    let mut table = Table::new("A, B");
    table.row(vec!["\x1b[31mlong\x1b[0m".into(), "x".into()]);
    table.row(vec!["s".into(), "y".into()]);
    assert_eq!(table.render(), "A     B\n\x1b[31mlong\x1b[0m  x\ns     y\n");
}

#[test]
fn long_texts_wrap_at_spaces_and_stay_within_the_width() {
    let text = wrap("plan    ", &"failed (refused), ".repeat(20));
    assert!(
        text.lines().count() > 1 && text.lines().all(|line| line.chars().count() <= WIDTH),
        "{text}"
    );

    assert!(
        text.lines()
            .skip(1)
            .all(|line| line.starts_with("        f") || line.starts_with("        (")),
        "{text}"
    );

    assert_eq!(wrap("a: ", ""), "a:\n");
    let word = "x".repeat(200);
    assert_eq!(wrap("", &word), format!("{word}\n"));
}

#[test]
fn foreign_text_cannot_move_the_cursor() {
    assert_eq!(plain("a\x1b[2Jb\r\n", 80), "a [2Jb  ");
    assert_eq!(plain("abcdef", 4), "abc…");
    assert_eq!(plain("abcd", 4), "abcd");
}

#[test]
fn quantities_are_readable() {
    assert_eq!(
        [ago(999), ago(61_000), ago(7_200_000)],
        ["999 ms", "1 min", "2 h"]
    );

    assert_eq!(
        [bytes(12), bytes(1_500), bytes(1 << 30)],
        ["12 B", "1.5 kB", "1.07 GB"]
    );

    assert_eq!(
        [moment(951_782_400_000), moment(u64::MAX)],
        [
            "2000-02-29 00:00:00 UTC",
            "18446744073709551615 ms after 1970"
        ]
    );

    assert_eq!(
        [count(1, "file", "files"), count(2, "file", "files")],
        ["1 file", "2 files"]
    );

    assert_eq!(
        [percent(1.0 / 3.0), percent(0.5), percent(0.0)],
        ["33.3 %", "50 %", "0 %"]
    );
}
