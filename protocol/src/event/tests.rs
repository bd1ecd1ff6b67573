use super::*;

#[test]
fn words_and_meanings_are_one_to_one() {
    for kind in EventKind::ALL.iter().copied() {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    for severity in Severity::ALL.iter().copied() {
        assert_eq!(severity.as_str().parse(), Ok(severity));
    }

    let error = "verdicts".parse::<EventKind>().unwrap_err().to_string();
    assert!(
        error.starts_with("unknown value \"verdicts\", expected one of: verdict, plan, "),
        "{error}"
    );

    assert!(Severity::Info < Severity::Warning && Severity::Warning < Severity::Critical);
}
