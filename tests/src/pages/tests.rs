use super::*;

fn block(language: &str, mark: &str, text: &str) -> Block {
    Block {
        place: String::new(),
        language: language.into(),
        mark: mark.into(),
        text: text.into(),
    }
}

#[test]
fn an_ellipsis_matches_anything_and_other_text_only_itself() {
    for (documented, actual) in [
        ("a  b\n", "a b"),
        ("x …\n", "x 1 2"),
        ("… s  y …", "12 s   y z"),
        ("a\n…\nb\n", "a\n1\n2\nb\n"),
        ("a\n…\n", "a\n"),
        ("#… of …: done", "#3 of 7: done"),
    ] {
        assert!(
            is_as_documented(documented, actual),
            "{documented:?} {actual:?}"
        );
    }

    for (documented, actual) in [
        ("a", "b"),
        ("a …", "b c"),
        ("a", "a\nb"),
        ("a\nb", "a"),
        ("a … c", "a b d"),
    ] {
        assert!(
            !is_as_documented(documented, actual),
            "{documented:?} {actual:?}"
        );
    }
}

#[test]
fn anchors_are_those_of_github() {
    let page = "# A `b` c\n\n## No leader, no majority\n\n```sh\n# not a heading\n```\n\n\
        ### It can't, see [C & D](x.md#y)\n\n#no heading\n\n## A b c\n## A b c\n## snake_case\n";
    let expected = [
        "a-b-c",
        "a-b-c-1",
        "a-b-c-2",
        "it-cant-see-c--d",
        "no-leader-no-majority",
        "snake_case",
    ];

    assert!(
        anchors(page).iter().eq(expected.iter()),
        "{:?}",
        anchors(page)
    );
}

#[test]
fn the_pages_are_read_in_the_order_of_the_index() {
    let pages = all();
    let place = |name: &str| pages.iter().position(|page| *page == docs().join(name));

    assert_eq!(pages[0], root().join("README.md"));
    assert_eq!(place("README.md"), Some(1));
    assert_eq!(place("tutorials/run-a-mesh-on-your-machine.md"), Some(2));

    // Later pages use what the commands of earlier ones set.
    for (earlier, later) in [
        ("how-to/first-start.md", "how-to/rotate-certificates.md"),
        ("reference/http-api.md", "reference/events.md"),
    ] {
        assert!(place(earlier).is_some(), "{earlier}");
        assert!(place(earlier) < place(later), "{later}");
    }
}

#[test]
fn a_block_that_nothing_checks_is_refused() {
    for (language, mark, text) in [
        ("", "", "a"),
        ("console", "", "$ a"),
        ("sh", "", "a"),
        ("json", "", "{}"),
        ("text", "", "$ a"),
        ("text", "run: up", "a"),
        ("sh", "by hand", "a"),
        ("sh", "elsewhere: scripts/test", "a"),
        ("sh", "diagram", "a"),
    ] {
        assert!(
            block(language, mark, text).check().is_err(),
            "{language:?} {mark:?}"
        );
    }

    assert_eq!(
        block("console", "run: up", "$ a").check(),
        Ok(Check::Run("up".into()))
    );

    assert_eq!(
        block("sh", "elsewhere: scripts/test: -a, b c", "").check(),
        Ok(Check::Elsewhere(
            "scripts/test".into(),
            vec!["-a".into(), "b c".into()]
        ))
    );
}

#[test]
fn the_commands_of_a_line_are_found() {
    for (line, expected) in [
        ("a b  # c", &[&["a", "b"][..]][..]),
        (
            "A=1 a 'b c' && d | e \"f;g\"",
            &[&["a", "b c"], &["d"], &["e", "f;g"]],
        ),
        ("$ a --b=c &", &[&["a", "--b=c"]]),
        ("# a", &[]),
    ] {
        let line = if line.starts_with('#') {
            format!(" {line}")
        } else {
            line.to_owned()
        };

        assert_eq!(commands(&line), expected, "{line}");
    }
}
