use super::*;
use proptest::{
    collection::{btree_set, vec},
    prelude::*,
};
use regionmesh_protocol::models::digest::Digest;
use regionmesh_protocol::status::servability::Servability;
use regionmesh_protocol::status::servability::UNSERVED_MAX;
use regionmesh_protocol::status::servability::VersionServability;
use regionmesh_protocol::status::servability::content_tag;

fn name(index: usize) -> RegionName {
    format!("r{index}").parse().unwrap()
}

fn model(index: u8) -> ModelName {
    format!("m{index}").parse().unwrap()
}

fn state() -> impl Strategy<Value = RegionState> {
    prop_oneof![
        Just(RegionState::Silent),
        Just(RegionState::Missing),
        Just(RegionState::Untested),
        Just(RegionState::Servable),
        Just(RegionState::Held),
        Just(RegionState::Unpublished),
        Just(RegionState::Unservable("why".into())),
    ]
}

fn states(all: Vec<RegionState>) -> BTreeMap<RegionName, RegionState> {
    all.into_iter()
        .enumerate()
        .map(|(index, state)| (name(index), state))
        .collect()
}

/// A region serves a model, or can't, or is loading it.
fn mesh() -> impl Strategy<Value = BTreeMap<RegionName, RegionModels>> {
    let region =
        (btree_set(0..4u8, 0..4), btree_set(0..4u8, 0..4)).prop_map(|(served, unserved)| {
            RegionModels {
                unserved: unserved
                    .difference(&served)
                    .map(|index| model(*index))
                    .collect(),
                served: served.into_iter().map(model).collect(),
            }
        });

    vec(region, 1..7).prop_map(|all| {
        all.into_iter()
            .enumerate()
            .map(|(i, models)| (name(i), models))
            .collect()
    })
}

proptest! {
    #[test]
    fn a_version_is_promotable_only_where_a_majority_of_all_regions_is_good(
        all in vec(state(), 1..8),
    ) {
        let is_doubted = all
            .iter()
            .any(|state| matches!(state, RegionState::Unservable(_)));
        let is_good = |state: &&RegionState| {
            state.is_good() || (!is_doubted && **state == RegionState::Unpublished)
        };
        let good = all.iter().filter(is_good).count();

        prop_assert_eq!(
            promotable(&states(all.clone())) == Promotable::Yes,
            2 * good > all.len()
        );
    }

    #[test]
    fn waiting_is_advised_only_where_it_can_help(all in vec(state(), 1..8)) {
        let best = |state: &RegionState| {
            if state.is_pending() {
                RegionState::Servable
            } else {
                state.clone()
            }
        };
        let at_best = promotable(&states(all.iter().map(best).collect()));
        let now = promotable(&states(all));

        prop_assert_eq!(now == Promotable::No, at_best != Promotable::Yes);
    }

    #[test]
    fn a_region_that_becomes_servable_never_makes_a_version_less_promotable(
        all in vec(state(), 1..8),
        which: prop::sample::Index,
    ) {
        let before = promotable(&states(all.clone()));
        let mut better = all;
        let place = which.index(better.len());

        better[place] = RegionState::Servable;
        prop_assert!(
            before != Promotable::Yes || promotable(&states(better)) == Promotable::Yes
        );
    }

    #[test]
    fn models_never_take_more_than_half_of_the_regions_out(regions in mesh()) {
        let out = regions
            .keys()
            .filter(|name| !given_up_for(name, &regions).is_empty())
            .count();
        prop_assert!(2 * out <= regions.len());
    }

    #[test]
    fn a_region_gives_up_traffic_only_for_a_model_that_most_others_serve(
        regions in mesh(),
    ) {
        for (own, models) in &regions {
            for model in given_up_for(own, &regions) {
                prop_assert!(
                    models.unserved.contains(&model) && !models.served.contains(&model)
                );

                let serving = regions
                    .iter()
                    .filter(|(name, other)| *name != own && other.served.contains(&model));
                prop_assert!(2 * serving.count() > regions.len() - 1);
            }
        }
    }

    #[test]
    fn a_single_region_that_lacks_a_model_gives_up_its_traffic(
        count in 2usize..7,
        which: prop::sample::Index,
    ) {
        let which = which.index(count);
        let regions: BTreeMap<_, _> = (0..count)
            .map(|index| {
                let mut served = BTreeSet::new();
                let mut unserved = BTreeSet::new();
                if index == which {
                    unserved.insert(model(0))
                } else {
                    served.insert(model(0))
                };

                (name(index), RegionModels { served, unserved })
            })
            .collect();

        for index in 0..count {
            prop_assert_eq!(
                given_up_for(&name(index), &regions).is_empty(),
                index != which
            );
        }
    }

    #[test]
    fn published_servability_is_bounded(count in 0usize..600, length in 0usize..700) {
        let versions = (0..count).map(|index| VersionServability {
            model: model(0),
            version: index.to_string().parse().unwrap(),
            content_tag: 0,
            outcome: Outcome::Unservable {
                reason: "é".repeat(length),
                is_quarantined: false,
            },
        });

        let bounded = Servability::bounded(versions, (0..100).map(model).collect());
        prop_assert!(
            bounded.versions.len() <= VERSIONS_MAX && bounded.unserved.len() <= UNSERVED_MAX
        );

        let bytes = regionmesh_protocol::codec::encode(&bounded).unwrap().len();
        prop_assert!(bytes < 64 << 10, "{} bytes", bytes);
    }
}

#[test]
fn a_model_that_no_region_can_serve_takes_no_region_out() {
    let lacking = RegionModels {
        unserved: [model(0)].into(),
        ..RegionModels::default()
    };
    let regions: BTreeMap<_, _> = (0..3).map(|index| (name(index), lacking.clone())).collect();

    assert!((0..3).all(|index| given_up_for(&name(index), &regions).is_empty()));
}

#[test]
fn only_versions_older_than_all_published_ones_count_as_unpublished() {
    let tried = |number: usize| VersionServability {
        model: model(0),
        version: number.to_string().parse().unwrap(),
        content_tag: content_tag(&Digest([0; 32])),
        outcome: Outcome::Servable,
    };

    let of = |count: usize, version: &str, is_newest: bool| {
        let published = Servability::bounded((0..count).map(tried), vec![]);
        let known = published.of(
            &model(0),
            &version.parse().unwrap(),
            &Digest([0; 32]),
            is_newest,
        );

        RegionState::of(true, [Some(known)])
    };

    assert_eq!(of(VERSIONS_MAX, "0", true), RegionState::Servable);
    assert_eq!(of(VERSIONS_MAX + 1, "256", false), RegionState::Unpublished);
    assert_eq!(of(VERSIONS_MAX + 1, "new", true), RegionState::Untested);
    assert_eq!(of(VERSIONS_MAX - 1, "255", false), RegionState::Untested);
}

#[test]
fn every_serving_agent_of_a_region_counts() {
    let good = Outcome::Servable;
    let bad = Outcome::Unservable {
        reason: "broken".into(),
        is_quarantined: false,
    };
    let good = Some(Known::Tried(&good));
    let bad = Some(Known::Tried(&bad));
    let untried = Some(Known::Untried);
    let unpublished = Some(Known::Unpublished);

    assert_eq!(
        RegionState::of(true, [good, untried, unpublished]),
        RegionState::Untested
    );

    assert_eq!(
        RegionState::of(true, [good, unpublished]),
        RegionState::Unpublished
    );

    assert_eq!(RegionState::of(true, [good, None]), RegionState::Servable);
    assert_eq!(
        RegionState::of(true, [unpublished, bad]),
        RegionState::Unservable("broken".into())
    );

    assert_eq!(RegionState::of(true, [None]), RegionState::Held);
    assert_eq!(RegionState::of(false, [None]), RegionState::Missing);
    assert_eq!(RegionState::of(true, []), RegionState::Silent);
}
