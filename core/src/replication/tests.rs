//! The decisions of single agents, then the laws of whole regions.

mod equal;
mod laws;
mod several;
mod world;

use super::{settings::RETRY, *};
use crate::{
    gateways::Gateways,
    gossip::{AgentView, BoardView, SeenStatus},
    now::Now,
};
use regionmesh_protocol::{
    clock::HybridTime,
    identity::{AgentId, RegionName},
    models::{catalogue::Catalogue, digest::Digest, manifest::VersionSummary},
    status::{Holdings, StatusEntry, StatusKind, entry::EntryVersion},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// All connected agents of the holders are equally good; perhaps one region is worth waiting for.
#[derive(Debug, Default)]
struct FlatRoutes {
    relay: Option<RegionName>,
}

impl Routes for FlatRoutes {
    fn sources(
        &self,
        _: u64,
        holders: &[RegionName],
        links: &BTreeMap<AgentId, u64>,
    ) -> Vec<Vec<AgentId>> {
        let agents: Vec<AgentId> = links
            .keys()
            .filter(|agent| holders.contains(&agent.region))
            .cloned()
            .collect();
        if agents.is_empty() {
            Vec::new()
        } else {
            vec![agents]
        }
    }

    fn relay(
        &self,
        _: u64,
        _: &BoardView,
        _: &[RegionName],
        lacking: &BTreeSet<RegionName>,
    ) -> Option<RegionName> {
        self.relay.clone().filter(|relay| lacking.contains(relay))
    }
}

fn settings() -> Settings {
    Settings {
        rescan_interval: Duration::from_secs(10),
        parallel_versions: 2,
        relay_wait: Duration::from_secs(120),
    }
}

fn agent(name: &str) -> AgentId {
    name.parse().unwrap()
}

fn region(name: &str) -> RegionName {
    name.parse().unwrap()
}

fn version(name: &str, at: u64, origin: &str) -> VersionSummary {
    VersionSummary {
        model: "m".parse().unwrap(),
        version: name.parse().unwrap(),
        content: Digest::of(format!("{name}{at}{origin}").as_bytes()),
        size: 1,
        published: HybridTime {
            wall_ms: at,
            counter: 0,
        },
        origin: region(origin),
    }
}

fn holding(versions: &[VersionSummary]) -> Catalogue {
    let mut catalogue = Catalogue {
        versions: versions.to_vec(),
        ..Catalogue::default()
    };

    catalogue.normalise();
    catalogue
}

/// An agent on the board.
fn seen(is_alive: bool, catalogue: Option<&Catalogue>) -> AgentView {
    let entry = |catalogue: &Catalogue| {
        let holdings = Holdings {
            catalogue: catalogue.digest().ok(),
            ..Holdings::default()
        };
        let seen = SeenStatus {
            status_entry: Arc::new(StatusEntry::Holdings(holdings)),
            version: EntryVersion::default(),
            seen_at: Instant::now(),
        };

        (StatusKind::Holdings, seen)
    };

    AgentView {
        is_alive,
        status_entries: catalogue.into_iter().map(entry).collect(),
    }
}

/// One agent of region `a`, alone there.
struct Alone {
    part: Replication,
    start: Instant,
    at: Duration,
}

impl Alone {
    fn new() -> Self {
        let start = Instant::now();
        let now = Now {
            monotonic: start,
            unix_ms: 0,
        };
        let mut alone = Self {
            part: Replication::new(agent("a/n"), settings(), now),
            start,
            at: Duration::ZERO,
        };

        alone.give(Input::Routes(Arc::new(FlatRoutes::default())));
        alone.give(Input::Current(true));
        alone
    }

    fn give(&mut self, input: Input) -> Vec<Effect> {
        let now = Now {
            monotonic: self.start + self.at,
            unix_ms: self.at.as_millis() as u64,
        };
        let mut out = Vec::new();
        self.part.handle(input, now, &mut out);
        out
    }

    fn tick_after(&mut self, pause: Duration) -> Vec<Effect> {
        self.at += pause;
        self.give(Input::Tick)
    }

    /// The store was read and holds this.
    fn scanned(&mut self, catalogue: &Catalogue) -> Vec<Effect> {
        self.give(Input::StoreChanged);
        self.give(Input::Scanned(Ok(Scan {
            catalogue: catalogue.clone(),
            unfinished: Vec::new(),
        })))
    }

    /// Other regions announce these catalogues and are connected.
    fn announced(&mut self, others: &[(&str, &Catalogue)]) -> Vec<Effect> {
        let id = |name: &str| agent(&format!("{name}/n"));
        let agents = others
            .iter()
            .map(|(name, catalogue)| (id(name), seen(true, Some(catalogue))));
        let board = BoardView {
            agents: agents.collect(),
        };
        let links = others.iter().map(|(name, _)| (id(name), 1_000)).collect();

        self.give(Input::Links(Arc::new(links)));
        self.give(Input::Board(Arc::new(board)))
    }

    fn read(&mut self, name: &str, catalogue: &Catalogue) -> Vec<Effect> {
        let read = (catalogue.digest().unwrap(), Arc::new(catalogue.clone()));
        self.give(Input::PeerCatalogue(region(name), Ok(read)))
    }
}

fn fetched(effects: &[Effect]) -> Vec<&VersionSummary> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Fetch { version, .. } => Some(version),
            _ => None,
        })
        .collect()
}

fn reads(effects: &[Effect]) -> Vec<&RegionName> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::ReadCatalogue { region, .. } => Some(region),
            _ => None,
        })
        .collect()
}

fn converges(effects: &[Effect]) -> Option<&[SyncAction]> {
    effects.iter().find_map(|effect| match effect {
        Effect::Converge(actions) => Some(&actions[..]),
        _ => None,
    })
}

fn has(effects: &[Effect], is_wanted: impl Fn(&Effect) -> bool) -> bool {
    effects.iter().any(is_wanted)
}

#[test]
fn the_winner_of_a_conflict_is_fetched_after_ours_has_moved() {
    let mut alone = Alone::new();
    let ours = version("1", 5, "a");
    let winner = version("1", 3, "b");
    let theirs = holding(std::slice::from_ref(&winner));

    alone.scanned(&holding(std::slice::from_ref(&ours)));
    assert_eq!(reads(&alone.announced(&[("b", &theirs)])), [&region("b")]);
    let effects = alone.read("b", &theirs);
    let renames = converges(&effects).unwrap();
    assert!(
        matches!(&renames[0], SyncAction::Rename { from, .. } if *from == ours),
        "{renames:?}"
    );
    assert_eq!(fetched(&effects), [] as [&VersionSummary; 0]);

    let moved = VersionSummary {
        version: conflict_name(&ours).unwrap(),
        ..ours
    };
    alone.give(Input::ConvergeEnded(Ok(())));
    assert_eq!(fetched(&alone.scanned(&holding(&[moved]))), [&winner]);
}

#[test]
fn a_failed_fetch_pauses_two_seconds_and_is_logged_once_a_minute() {
    let mut alone = Alone::new();
    let missing = version("1", 1, "b");
    let theirs = holding(std::slice::from_ref(&missing));
    let mut logged = Vec::new();

    alone.scanned(&Catalogue::default());
    alone.announced(&[("b", &theirs)]);
    assert_eq!(fetched(&alone.read("b", &theirs)), [&missing]);
    for _ in 0..32 {
        let why = Err("broken".to_owned());
        for effect in alone.give(Input::FetchEnded(missing.clone(), why)) {
            if let Effect::Notice(Notice::FetchFailed { left_out, .. }) = effect {
                logged.push((alone.at.as_secs(), left_out));
            }
        }

        let early = alone.tick_after(Duration::from_millis(1_999));
        assert_eq!(fetched(&early), [] as [&VersionSummary; 0]);
        assert_eq!(
            fetched(&alone.tick_after(Duration::from_millis(1))),
            [&missing]
        );
    }

    assert_eq!(logged, [(0, 0), (60, 29)]);
}

#[test]
fn a_known_catalogue_is_not_read_again() {
    let mut alone = Alone::new();
    let same = holding(&[version("1", 1, "b")]);
    let other = holding(&[version("1", 1, "b"), version("2", 1, "b")]);

    alone.scanned(&same);
    let effects = alone.announced(&[("b", &same), ("c", &other), ("d", &other)]);
    assert_eq!(reads(&effects), [&region("c"), &region("d")]);
    alone.read("c", &other);
    alone.give(Input::PeerCatalogue(region("d"), Err("lost".into())));

    let effects = alone.tick_after(Duration::from_millis(500));
    assert_eq!(reads(&effects), [] as [&RegionName; 0]);
    let is_d =
        |effect: &Effect| matches!(effect, Effect::PeerCatalogue(of, ..) if *of == region("d"));
    assert!(has(&effects, is_d), "{effects:?}");
}

#[test]
fn an_agent_without_links_to_other_regions_reads_catalogues_through_gateways_and_fetches_nothing() {
    let mut alone = Alone::new();
    let held = holding(&[version("1", 1, "b")]);
    let gateway = agent("a/gateway");
    alone.scanned(&Catalogue::default());
    alone.announced(&[("b", &held)]);
    alone.read("b", &held);

    alone.give(Input::Links(Arc::new([(gateway.clone(), 100)].into())));
    alone.give(Input::Gateways(Arc::new(Gateways {
        is_own: false,
        before: 1,
        others: [gateway.clone()].into(),
    })));
    let effects = alone.tick_after(Duration::from_secs(3));
    assert_eq!(fetched(&effects), [] as [&VersionSummary; 0]);

    let read = |effects: Vec<Effect>| {
        effects.into_iter().find_map(|effect| match effect {
            Effect::ReadCatalogue { through, from, .. } => Some((through, from)),
            _ => None,
        })
    };
    let more = holding(&[version("1", 1, "b"), version("2", 1, "b")]);
    let board = Arc::new(BoardView {
        agents: [(agent("b/n"), seen(true, Some(&more)))].into(),
    });
    let effects = alone.give(Input::Board(board));
    assert_eq!(read(effects), None, "the gateways read it first");
    let effects = alone.tick_after(Duration::from_secs(1));
    assert_eq!(read(effects), Some((vec![gateway.clone()], None)));

    alone.give(Input::PeerCatalogue(region("b"), Err("unknown".into())));
    let effects = alone.tick_after(RETRY);
    assert_eq!(read(effects), Some((vec![gateway], Some(agent("b/n")))));
}

#[test]
fn a_write_during_a_scan_leads_to_another_scan() {
    let mut alone = Alone::new();
    let is_scan = |effect: &Effect| matches!(effect, Effect::Scan);

    assert!(has(&alone.give(Input::StoreChanged), is_scan));
    assert!(!has(&alone.give(Input::StoreChanged), is_scan));
    let scan = || Input::Scanned(Ok(Scan::default()));
    assert!(has(&alone.give(scan()), is_scan));
    assert!(!has(&alone.give(scan()), is_scan));
    assert!(!has(
        &alone.tick_after(Duration::from_millis(9_999)),
        is_scan
    ));
    assert!(has(&alone.tick_after(Duration::from_millis(1)), is_scan));
}

#[test]
fn catalogues_are_complete_once_all_are_read_or_another_region_cannot_read_the_rest() {
    let is_complete = |effect: &Effect| matches!(effect, Effect::HasCatalogues);
    let mut alone = Alone::new();
    let theirs = holding(&[version("1", 1, "b")]);
    let tick = Duration::from_millis(500);

    alone.announced(&[("b", &theirs), ("c", &holding(&[version("2", 1, "c")]))]);
    assert!(!has(&alone.tick_after(tick), is_complete), "the store");
    alone.scanned(&Catalogue::default());
    alone.read("b", &theirs);
    assert!(!has(&alone.tick_after(tick), is_complete), "c is unread");

    // b lacks nothing, so it holds what c holds.
    let mut failures = 0;
    while !has(&alone.tick_after(Duration::from_secs(2)), is_complete) {
        alone.give(Input::PeerCatalogue(region("c"), Err("broken".into())));
        failures += 1;
    }
    assert_eq!(failures, 2);
    assert!(!has(&alone.tick_after(tick), is_complete), "once");
}

#[test]
fn a_large_version_waits_for_its_relay_until_it_times_out() {
    let mut alone = Alone::new();
    let large = VersionSummary {
        size: 125_000_000,
        ..version("1", 1, "b")
    };
    let theirs = holding(std::slice::from_ref(&large));
    let relay = Some(region("c"));

    alone.give(Input::Routes(Arc::new(FlatRoutes { relay })));
    alone.scanned(&Catalogue::default());
    alone.announced(&[("b", &theirs), ("c", &Catalogue::default())]);
    let effects = alone.read("b", &theirs);
    let waits = |effect: &Effect| {
        matches!(
            effect,
            Effect::Notice(Notice::WaitingForRelay { relay, .. }) if *relay == region("c")
        )
    };
    assert!(has(&effects, waits) && fetched(&effects).is_empty());

    let effects = alone.tick_after(Duration::from_millis(19_999));
    assert!(!has(&effects, waits) && fetched(&effects).is_empty());
    let effects = alone.tick_after(Duration::from_millis(1));
    let is_direct = |effect: &Effect| {
        matches!(
            effect,
            Effect::Notice(Notice::WaitedForRelay {
                is_relayed: false,
                ..
            })
        )
    };
    assert!(has(&effects, is_direct));
    assert_eq!(fetched(&effects), [&large]);
}

#[test]
fn leftovers_are_cleaned_up_at_the_start_after_failures_and_hourly() {
    let mut alone = Alone::new();
    let is_cleaning = |effect: &Effect| matches!(effect, Effect::CleanUp(_));
    let seconds = Duration::from_secs;
    assert!(!has(&alone.tick_after(seconds(1)), is_cleaning), "unread");
    alone.scanned(&Catalogue::default());

    assert!(has(&alone.tick_after(seconds(1)), is_cleaning));
    assert!(!has(&alone.tick_after(seconds(3_600)), is_cleaning), "busy");
    alone.give(Input::Cleaned(Err("refused".into())));
    assert!(has(&alone.tick_after(seconds(1)), is_cleaning));
    alone.give(Input::Cleaned(Err("refused".into())));
    assert!(!has(&alone.tick_after(seconds(59)), is_cleaning));
    assert!(has(&alone.tick_after(seconds(1)), is_cleaning));

    alone.give(Input::Cleaned(Ok(Cleaned::default())));
    alone.give(Input::Leftovers(true));
    assert!(!has(&alone.tick_after(seconds(9)), is_cleaning));
    assert!(has(&alone.tick_after(seconds(1)), is_cleaning));
    alone.give(Input::Leftovers(false));
    alone.give(Input::Cleaned(Ok(Cleaned::default())));
    assert!(!has(&alone.tick_after(seconds(3_599)), is_cleaning));
    assert!(has(&alone.tick_after(seconds(1)), is_cleaning));
}

#[test]
fn lost_files_are_fetched_again_and_the_version_released_unless_it_was_deleted() {
    let mut alone = Alone::new();
    let held = version("1", 1, "b");
    let gone = version("2", 1, "b");
    let both = holding(&[held.clone(), gone.clone()]);

    alone.announced(&[("b", &both)]);
    alone.read("b", &both);
    alone.scanned(&both);
    alone.at += Duration::from_secs(100);
    let is_check = |effect: &Effect| matches!(effect, Effect::FindLosses(_));
    assert!(has(&alone.scanned(&both), is_check));

    let mut after = both.clone();
    after.tombstones.push(world::deletion(&gone, 2));
    after.normalise();
    alone.scanned(&after);
    let effects = alone.give(Input::LossesFound(Ok(vec![held.clone(), gone])));
    assert_eq!(fetched(&effects), [&held]);

    let effects = alone.give(Input::FetchEnded(held.clone(), Ok(())));
    let is_replaced = |effect: &Effect| matches!(effect, Effect::Replaced(of) if *of == held);
    assert!(has(&effects, is_replaced));
}
