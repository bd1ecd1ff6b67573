#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use proptest::prelude::*;

const REGIONS: usize = 5;

/// All sets of regions, as the theorem has it.
fn worst_by_hand(groups: &[(RegionSet, f64)], capacity: &[f64], lost: Option<Lost>) -> f64 {
    let gone = lost.map_or(0, Lost::mask);
    let excess = |set: RegionSet| {
        let load: f64 = groups
            .iter()
            .filter(|(allowed, _)| allowed & !gone & !set == 0)
            .map(|(_, load)| load)
            .sum();

        load - members(set).map(|region| capacity[region]).sum::<f64>()
    };

    (0..1 << REGIONS).map(excess).fold(0.0, f64::max)
}

proptest! {
    #[test]
    fn a_shortfall_is_found_exactly_where_some_set_of_regions_has_too_little(
        groups in prop::collection::vec((1u64..1 << REGIONS, 1u32..50), 1..12),
        capacity in prop::collection::vec(0u32..60, REGIONS),
        lost in prop::option::of(0..REGIONS),
    ) {
        let groups: Vec<_> = groups
            .into_iter()
            .map(|(set, load)| (set, f64::from(load)))
            .collect();
        let lost = lost.map(Lost::Region);
        let capacity: Vec<f64> = capacity.into_iter().map(f64::from).collect();
        let left = lost.map_or(capacity.clone(), |lost| lost.of(&capacity, &[0.0; REGIONS]));

        let worst = worst_by_hand(&groups, &left, lost);
        let found = shortfall(&groups, &left, lost);
        prop_assert_eq!(found.is_some(), worst > 0.5, "worst set lacks {}", worst);
        if let Some(cover) = found {
            let capacity: f64 = members(cover.regions).map(|region| left[region]).sum();
            prop_assert!(
                (cover.load - capacity - worst).abs() < 1e-3,
                "{:?} is not the worst set: {}",
                cover,
                worst
            );
        }
    }
}

#[test]
fn a_movable_load_makes_room_for_a_fixed_one() {
    // The first group fills region 0, where alone the second may go.
    let groups = [(0b11, 10.0), (0b01, 5.0)];
    assert_eq!(shortfall(&groups, &[10.0, 10.0], None), None);
    let found = shortfall(&groups, &[4.0, 20.0], None).unwrap();
    assert_eq!((found.regions, found.load), (0b01, 5.0));
}
