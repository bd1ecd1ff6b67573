use super::*;
use std::collections::BTreeSet;

#[test]
fn kinds_words_and_alerts_are_one_to_one() {
    let words: BTreeSet<&str> = ProblemKind::ALL.iter().map(|kind| kind.as_str()).collect();
    let alerts: BTreeSet<&str> = ProblemKind::ALL
        .iter()
        .map(|kind| kind.alert_name())
        .collect();

    assert_eq!(
        (words.len(), alerts.len()),
        (ProblemKind::ALL.len(), ProblemKind::ALL.len())
    );
}
