use super::*;

fn outcome(region: &str, content: Option<&str>, is_unknown: bool) -> Outcome {
    let content = content.map(str::to_owned);
    Outcome {
        region: region.parse().unwrap(),
        verified: content.is_some(),
        result: "r".into(),
        content,
        is_unknown,
    }
}

#[test]
fn damage_outranks_absence_and_absence_success() {
    let right = outcome("a", Some("x"), false);
    let damaged = outcome("b", None, false);
    let absent = outcome("c", None, true);

    assert_eq!(code(std::slice::from_ref(&right)), ExitCode::SUCCESS);
    assert_eq!(code(&[right.clone(), absent.clone()]), ExitCode::from(3));
    assert_eq!(code(&[absent, damaged, right]), ExitCode::FAILURE);
}

#[test]
fn regions_with_different_content_are_not_both_correct() {
    let mut outcomes = [
        outcome("a", Some("x"), false),
        outcome("b", Some("y"), false),
        outcome("c", None, true),
    ];

    compare(&mut outcomes);
    assert_eq!(
        outcomes
            .iter()
            .map(|outcome| outcome.verified)
            .collect::<Vec<_>>(),
        [true, false, false]
    );

    assert!(
        render(&outcomes, Paint { is_on: false })
            .contains("NO        y        content differs from a")
    );

    assert_eq!(code(&outcomes), ExitCode::FAILURE);
}
