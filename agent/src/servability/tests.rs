#![allow(clippy::unwrap_used)]

use super::*;

fn problem(subject: &str, is_quarantined: bool) -> ServingProblem {
    ServingProblem {
        subject: subject.into(),
        detail: "can't be served".into(),
        is_quarantined,
    }
}

#[test]
fn problems_match_the_status_of_the_server() {
    let problems = Problems::default();
    report(&problems, &[problem("m@1", false), problem("m@2", true)]);
    assert_eq!(problems.count(ProblemKind::ModelUnservable), 1);
    assert_eq!(problems.count(ProblemKind::ModelQuarantined), 1);
    report(&problems, &[problem("m@2", false)]);

    let active: Vec<_> = problems
        .active()
        .into_iter()
        .map(|active| (active.kind, active.subject))
        .collect();

    assert_eq!(active, [(ProblemKind::ModelUnservable, "m@2".into())]);
}
