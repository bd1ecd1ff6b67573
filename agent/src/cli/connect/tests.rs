use super::*;

#[test]
fn an_empty_variable_names_no_agent() {
    assert_eq!(
        [given_agent(""), given_agent("  ")],
        [Ok(String::new()), Ok(String::new())]
    );
    assert!(given_agent("ftp://x").is_err());
}
