//! Laws of a region with three agents. The world checks each fetch: no version is fetched by two
//! living agents that see the same board, a rival is renamed before, and nothing deleted is
//! fetched.

use super::world::World;
use proptest::prelude::*;

/// Longer than a check for lost files, which comes every 100 s, and the fetches after it.
const RECOVERY_MS: u64 = 240_000;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_version_with_a_living_source_is_fetched_once_failures_end(seed: u64) {
        let mut world = World::new(seed);
        world.run(60_000, true);
        world.heal();
        world.run(RECOVERY_MS, false);
        prop_assert_eq!(world.left_undone(), Vec::<String>::new());
    }
}

#[test]
fn the_world_reaches_fetches_and_conflicts() {
    let mut fetches = 0;
    let mut renames = 0;
    for seed in 0..16 {
        let mut world = World::new(seed);
        world.run(60_000, true);
        fetches += world.fetch_count;
        renames += world.rename_count;
    }

    assert!(fetches > 50 && renames > 5, "{fetches}, {renames}");
}
