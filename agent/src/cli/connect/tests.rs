use super::*;

#[test]
fn a_variable_that_is_set_to_nothing_names_no_agent() {
    assert_eq!(
        [given_agent(""), given_agent("  ")],
        [Ok(String::new()), Ok(String::new())]
    );
    assert!(given_agent("ftp://x").is_err());
}
