#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_file_holds_tokens_with_and_without_names() {
    let text = "# operators\n\nann  4f3c\n  bare-token \nci\t#5d:e\n";
    let read = parse(text).unwrap();
    assert_eq!(
        read,
        [
            (Some("ann"), "4f3c"),
            (None, "bare-token"),
            (Some("ci"), "#5d:e")
        ]
    );

    let error = parse("ann a\nbob secret word\n").unwrap_err();
    assert!(
        error.contains("line 2") && !error.contains("secret"),
        "{error}"
    );

    assert_eq!(parse(" \n# none\n").unwrap_err(), "is empty");
}
