//! Health checks.

use super::*;

fn found(wanted: &WantedCheck, id: &str) -> FoundCheck {
    FoundCheck {
        id: id.into(),
        reference: wanted.next_reference(&[]),
        config: Some(wanted.config.clone()),
        tags: wanted.tags.clone(),
    }
}

/// Creates the wanted checks, like Route 53.
fn make(settings: &Settings, mut known: Vec<FoundCheck>) -> (Vec<FoundCheck>, CheckPlan) {
    loop {
        let plan = plan_checks(settings, &known);
        let ready: Vec<_> = plan
            .create
            .iter()
            .filter(|check| check.is_ready())
            .cloned()
            .collect();

        if ready.is_empty() {
            assert!(plan.create.is_empty(), "{plan:?}");
            return (known, plan);
        }

        for check in ready {
            let mut new = found(&check, &format!("hc-{}", known.len()));
            new.reference = check.next_reference(&known);
            assert!(new.reference.len() <= 64);
            assert!(known.iter().all(|other| other.reference != new.reference));
            known.push(new);
        }
    }
}

#[test]
fn every_region_is_checked_by_all_others_and_the_majority_decides() {
    let settings = settings(3, RecordKind::Weighted);
    let (known, plan) = make(&settings, Vec::new());
    assert_eq!(known.len(), 3 * 2 + 3);
    assert_eq!(plan.decisive.len(), 3);

    let majority = known
        .iter()
        .find(|check| check.id == plan.decisive[&region(1)])
        .unwrap();
    let Some(CheckConfig::Majority {
        children,
        threshold: 1,
    }) = &majority.config
    else {
        panic!("{majority:?}")
    };

    let polls: BTreeSet<_> = known
        .iter()
        .filter(|check| children.contains(&check.id))
        .map(|check| check.config.clone().unwrap())
        .map(|config| match config {
            CheckConfig::Poll { host, path, .. } => (host, path),
            CheckConfig::Majority { .. } => panic!("a child is a poll"),
        })
        .collect();

    let asked = |index: usize| {
        (
            format!("agents-{index}.example.com"),
            "/verdict/region-1".to_owned(),
        )
    };

    assert_eq!(polls, [asked(0), asked(2)].into());
    assert!(
        known
            .iter()
            .all(|check| is_own(&settings, &check.reference))
    );

    assert!(
        known
            .iter()
            .all(|check| check.tags["regionmesh:mesh"] == "mesh.example.com")
    );
}

#[test]
fn a_region_is_unhealthy_exactly_if_a_majority_reports_it() {
    for observers in 1..40usize {
        let healthy = |bad: usize| observers - bad >= threshold(observers) as usize;
        for bad in 0..=observers {
            assert_eq!(healthy(bad), bad <= observers / 2, "{bad} of {observers}");
        }
    }
}

#[test]
fn with_two_regions_the_failure_of_one_leaves_the_other_healthy() {
    let settings = settings(2, RecordKind::Weighted);
    let names: Vec<_> = observers(&settings, &region(0))
        .iter()
        .map(|region| region.name.clone())
        .collect();

    assert_eq!(names, [region(0), region(1)]);
    // Region 1 is down: its own report on region 0 counts as bad, region 0's as good, and one is
    // enough.
    assert_eq!(threshold(names.len()), 1);
}

#[test]
fn existing_checks_stay_and_those_with_other_settings_are_deleted() {
    let before = settings(3, RecordKind::Weighted);
    let (known, plan) = make(&before, Vec::new());
    assert_eq!(make(&before, known.clone()).0, known);
    assert!(plan.obsolete.is_empty() && plan.tag.is_empty());

    let mut after = before.clone();
    after.health_check.interval_s = 30;

    let (more, plan) = make(&after, known.clone());
    assert_eq!((more.len(), plan.obsolete.len()), (18, 9));
    assert!(plan.obsolete.iter().all(|check| known.contains(check)));

    let is_majority =
        |check: &FoundCheck| matches!(check.config, Some(CheckConfig::Majority { .. }));
    assert!(
        plan.obsolete[..3].iter().all(is_majority),
        "parents are deleted before their children"
    );

    after.health_check.enabled = false;
    let (_, plan) = make(&after, more);
    assert_eq!((plan.decisive.len(), plan.obsolete.len()), (0, 18));
    assert!(
        make(&settings(1, RecordKind::Weighted), Vec::new())
            .0
            .is_empty()
    );
}

#[test]
fn a_modified_or_deleted_check_is_recreated_under_a_new_reference() {
    let settings = settings(3, RecordKind::Weighted);
    let (mut known, plan) = make(&settings, Vec::new());
    let decisive = plan.decisive[&region(0)].clone();
    let at = known
        .iter()
        .position(|check| {
            check.id != decisive && matches!(check.config, Some(CheckConfig::Poll { .. }))
        })
        .unwrap();

    known[at].config = None;
    let before = known.len();
    let (known, plan) = make(&settings, known);

    // The poll, and the majority that depended on it.
    assert_eq!((known.len(), plan.obsolete.len()), (before + 2, 2));
    assert!(known[before].reference.ends_with("-1"));

    // Other meshes' checks are ignored.
    let mut other = settings.clone();
    other.mesh = "other".into();
    assert!(plan_checks(&other, &known).obsolete.is_empty());
}

#[test]
fn missing_tags_are_restored() {
    let settings = settings(3, RecordKind::Weighted);
    let (mut known, _) = make(&settings, Vec::new());
    known[0].tags.remove("regionmesh:region");

    let plan = plan_checks(&settings, &known);
    assert_eq!(plan.tag.len(), 1);
    assert_eq!(plan.tag[0].0, known[0].id);
}
