//! Two regions published equal content under one name: each has a manifest of its own.

use super::*;

/// The same content as `version`, published elsewhere.
fn again(version: &VersionSummary, at: u64, origin: &str) -> VersionSummary {
    VersionSummary {
        published: HybridTime {
            wall_ms: at,
            counter: 0,
        },
        origin: region(origin),
        ..version.clone()
    }
}

fn sources(effects: &[Effect]) -> Vec<(&VersionSummary, Vec<AgentId>)> {
    let fetches = effects.iter().filter_map(|effect| match effect {
        Effect::Fetch {
            version, sources, ..
        } => Some((version, sources.concat())),
        _ => None,
    });
    fetches.collect()
}

#[test]
fn each_manifest_is_fetched_from_the_regions_that_have_it() {
    let mut alone = Alone::new();
    let first = version("1", 1, "b");
    let second = again(&first, 2, "c");
    let at_b = holding(std::slice::from_ref(&first));
    let at_c = holding(std::slice::from_ref(&second));

    alone.announced(&[("b", &at_b), ("c", &at_c)]);
    alone.read("b", &at_b);
    alone.read("c", &at_c);
    let effects = alone.scanned(&Catalogue::default());
    assert_eq!(sources(&effects), [(&first, vec![agent("b/n")])]);

    let failed = Input::FetchEnded(first, Err("the store failed".into()));
    let effects = alone.give(failed);
    assert_eq!(sources(&effects), [(&second, vec![agent("c/n")])]);
    assert!(sources(&alone.tick_after(Duration::from_secs(3))).is_empty());
}

#[test]
fn lost_files_are_fetched_from_regions_that_published_the_same_themselves() {
    let mut alone = Alone::new();
    let ours = version("1", 1, "a");
    let at_b = again(&ours, 2, "b");
    let at_c = again(&ours, 3, "c");
    let own = holding(std::slice::from_ref(&ours));
    for (name, theirs) in [("b", &at_b), ("c", &at_c)] {
        alone.read(name, &holding(std::slice::from_ref(theirs)));
    }
    alone.announced(&[
        ("b", &holding(std::slice::from_ref(&at_b))),
        ("c", &holding(std::slice::from_ref(&at_c))),
    ]);
    alone.scanned(&own);

    let lost = || Input::LossesFound(Ok(vec![ours.clone()]));
    let effects = alone.give(lost());
    assert_eq!(sources(&effects), [(&at_b, vec![agent("b/n")])]);
    assert!(sources(&alone.give(lost())).is_empty(), "under way");

    // b has lost the same files.
    alone.give(Input::FetchEnded(at_b, Err("no source".into())));
    let effects = alone.give(lost());
    assert_eq!(sources(&effects), [(&at_c, vec![agent("c/n")])]);
}
