//! Laws of writing plans, for arbitrary plans and zones.

use super::*;

proptest! {
    #[test]
    fn any_sequence_of_plans_converges_and_leaves_foreign_records_alone(
        steps in prop::collection::vec((regions(), kind(), 10..90u32), 1..6),
    ) {
        let mut zone = foreign_zone();
        let mut nonce = 0;
        for (seq, (regions, kind, ttl_s)) in (1..).zip(steps) {
            let settings = Settings {
                ttl_s,
                ..settings(regions.len(), kind)
            };
            let plan = committed(1, seq, &regions);
            let planned_zone = match planned(&settings, &plan, &zone, &mut nonce) {
                Err(Refusal::NothingServes(_)) => {
                    let served = regions
                        .iter()
                        .any(|(weight, addresses)| *weight > 0 && !addresses.is_empty());
                    prop_assert!(!served);
                    continue;
                }
                other => other.unwrap(),
            };

            prop_assert!(!planned_zone.is_drift);
            for batch in &planned_zone.batches {
                let fences: Vec<_> = batch
                    .changes
                    .iter()
                    .filter(|change| change.set.record_type == "TXT")
                    .collect();

                prop_assert!(fences.iter().all(|change| change.action != Action::Upsert));
                prop_assert_eq!(fences.last().unwrap().action, Action::Create);
                prop_assert_eq!(
                    fences.len(),
                    if read_fence(&settings, &zone).unwrap().is_some() {
                        2
                    } else {
                        1
                    }
                );

                let (records, characters) = batch
                    .changes
                    .iter()
                    .map(cost)
                    .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));

                prop_assert!(records <= BATCH_RECORDS_MAX && characters <= BATCH_CHARACTERS_MAX);
                zone = write(&zone, batch).unwrap();
            }

            for wanted in wanted(&settings, &plan, &checks(8)).unwrap() {
                prop_assert!(
                    zone.iter().any(|set| set.is_same(&wanted)),
                    "{wanted} is missing"
                );
            }

            for other in foreign_zone() {
                prop_assert!(zone.contains(&other), "{other} was changed");
            }

            let service: Vec<_> = zone
                .iter()
                .filter(|set| set.name == settings.service_name() && set.record_type != "TXT")
                .collect();

            for record_type in ["A", "AAAA"] {
                let weights: Vec<_> = service
                    .iter()
                    .filter(|set| set.record_type == record_type)
                    .filter_map(|set| match set.routing {
                        Routing::Weighted { weight, .. } => Some(weight),
                        _ => None,
                    })
                    .collect();

                prop_assert!(weights.is_empty() || weights.iter().any(|weight| *weight > 0));
            }

            let own = service.len()
                + zone
                    .iter()
                    .filter(|set| settings.region_label(&set.name).is_some())
                    .count()
                - 1;

            prop_assert_eq!(
                own,
                wanted(&settings, &plan, &checks(8)).unwrap().len(),
                "leftovers: {:?}",
                zone
            );

            let again = planned(&settings, &plan, &zone, &mut nonce).unwrap();
            prop_assert!(
                again.batches.is_empty() && again.differences.is_empty(),
                "{again:?}"
            );
        }
    }

    #[test]
    fn of_two_writers_with_the_same_snapshot_only_the_first_succeeds(
        first in regions(),
        second in regions(),
        third in regions(),
        kinds in (kind(), kind()),
        has_fence: bool,
        same_plan: bool,
    ) {
        let mut zone = foreign_zone();
        let mut nonce = 0;
        if has_fence
            && let Ok(before) = planned(
                &settings(6, kinds.0),
                &committed(1, 1, &first),
                &zone,
                &mut nonce,
            )
        {
            for batch in &before.batches {
                zone = write(&zone, batch).unwrap();
            }
        }

        let third = if same_plan { second.clone() } else { third };
        let one = planned(
            &settings(6, kinds.0),
            &committed(1, 2, &second),
            &zone,
            &mut nonce,
        );

        let two = planned(
            &settings(6, kinds.1),
            &committed(1, if same_plan { 2 } else { 3 }, &third),
            &zone,
            &mut nonce,
        );
        let (Ok(one), Ok(two)) = (one, two) else {
            return Ok(());
        };
        let mut after = zone;

        for batch in &one.batches {
            after = write(&after, batch).unwrap();
        }
        for batch in &two.batches {
            prop_assert!(write(&after, batch).is_err());
        }
    }

    #[test]
    fn an_older_plan_is_refused_and_the_same_plan_repairs_drift(
        regions in regions(),
        number in 1..4u64,
        seq in 1..4u64,
        older in (0..4u64, 0..4u64),
    ) {
        let settings = settings(6, RecordKind::Weighted);
        let mut nonce = 0;
        let Ok(plan) = planned(
            &settings,
            &committed(number, seq, &regions),
            &[],
            &mut nonce,
        ) else {
            return Ok(());
        };

        let mut zone = write(&[], &plan.batches[0]).unwrap();
        let again = planned(
            &settings,
            &committed(older.0, older.1, &regions),
            &zone,
            &mut nonce,
        );

        if older < (number, seq) {
            let is_fenced = matches!(again, Err(Refusal::Fenced { .. }));
            prop_assert!(is_fenced);
        }

        let committed = committed(number, seq, &regions);
        let mut replanned =
            |zone: &[RecordSet]| planned(&settings, &committed, zone, &mut nonce).unwrap();

        // An operator deletes one of our sets and edits another.
        let ours: Vec<_> = (0..zone.len())
            .filter(|at| zone[*at].record_type != "TXT")
            .collect();
        zone[ours[0]].ttl_s = Some(7);

        let drift = replanned(&zone);

        prop_assert!(drift.is_drift && drift.differences.len() == 1 && drift.batches.len() == 1);
        prop_assert_eq!(&drift.differences[0].record, &zone[ours[0]].to_string());
        zone.remove(*ours.last().unwrap());

        let drift = replanned(&zone);

        prop_assert!(drift.is_drift && !drift.differences.is_empty());
        let healed = write(&zone, &drift.batches[0]).unwrap();
        prop_assert!(replanned(&healed).batches.is_empty());
    }

    #[test]
    fn a_fence_round_trips(
        number: u64,
        seq: u64,
        labels in prop::collection::btree_set("[a-z0-9]{1,60}", 0..40),
    ) {
        let stamp = committed(number, seq, &[]).stamp;
        let fence = Fence::new(&stamp, "0123abcd".into(), labels);
        let record = fence.record(&settings(1, RecordKind::Weighted));
        prop_assert!(record.values.iter().all(|value| value.len() <= 257));
        prop_assert_eq!(Fence::parse(&record).unwrap(), fence);
    }

    #[test]
    fn arbitrary_text_is_a_fence_or_an_error(values in prop::collection::vec(".{0,40}", 0..3)) {
        let mut record = Fence::new(&committed(1, 1, &[]).stamp, "n".into(), BTreeSet::new())
            .record(&settings(1, RecordKind::Weighted));
        record.values = values;
        let _ = Fence::parse(&record);
    }
}
