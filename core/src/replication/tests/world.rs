//! A region with several agents and one store, other regions with catalogues, and random failures,
//! in virtual time.

use super::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use regionmesh_protocol::models::catalogue::{Deletions, Tombstone};

/// One more than hold links to other regions.
const AGENTS: usize = 4;
const PEERS: [&str; 3] = ["b", "c", "d"];
const TICK_MS: u64 = 500;

pub(super) fn deletion(version: &VersionSummary, at: u64) -> Tombstone {
    Tombstone {
        model: version.model.clone(),
        version: version.version.clone(),
        deleted: HybridTime {
            wall_ms: at,
            counter: 0,
        },
        origin: version.origin.clone(),
        content: Some(version.content),
    }
}

struct Peer {
    catalogue: Catalogue,
    is_alive: bool,
}

struct Member {
    id: AgentId,
    is_alive: bool,
    part: Replication,
    /// What it last read of its own store.
    own: Catalogue,
    /// What it last read of others.
    known: BTreeMap<RegionName, Catalogue>,
}

/// A task that ends later.
enum Task {
    Scanned(Scan),
    Read(RegionName),
    Converged(Vec<SyncAction>),
    Fetched(VersionSummary, Vec<AgentId>),
    Cleaned,
    Checked,
}

pub(super) struct World {
    rng: StdRng,
    start: Instant,
    at_ms: u64,
    store: Catalogue,
    /// Held versions that lost files.
    lost: BTreeSet<VersionSummary>,
    peers: BTreeMap<RegionName, Peer>,
    members: Vec<Member>,
    /// By due time and number: the member whose task it is.
    tasks: BTreeMap<(u64, u64), (usize, Task)>,
    task_count: u64,
    is_failing: bool,
    /// Counts the boards.
    board: u64,
    /// Who fetched a missing version, by the board that all living agents saw.
    fetchers: BTreeMap<(u64, VersionSummary), AgentId>,
    pub(super) fetch_count: usize,
    pub(super) rename_count: usize,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let start = Instant::now();
        let peer = |name: &str| {
            let peer = Peer {
                catalogue: Catalogue::default(),
                is_alive: true,
            };
            (region(name), peer)
        };

        let mut world = Self {
            rng: StdRng::seed_from_u64(seed),
            start,
            at_ms: 1,
            store: Catalogue::default(),
            lost: BTreeSet::new(),
            peers: PEERS.iter().map(|name| peer(name)).collect(),
            members: Vec::new(),
            tasks: BTreeMap::new(),
            task_count: 0,
            is_failing: true,
            board: 0,
            fetchers: BTreeMap::new(),
            fetch_count: 0,
            rename_count: 0,
        };

        world.members = (0..AGENTS).map(|place| world.member(place)).collect();
        (0..AGENTS).for_each(|place| world.begin(place));
        world.announce();
        world
    }

    fn now(&self) -> Now {
        Now {
            monotonic: self.start + Duration::from_millis(self.at_ms),
            unix_ms: self.at_ms,
        }
    }

    fn is_likely(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn member(&self, place: usize) -> Member {
        let id = agent(&format!("a/n{place}"));
        Member {
            id: id.clone(),
            is_alive: true,
            part: Replication::new(id, settings(), self.now()),
            own: Catalogue::default(),
            known: BTreeMap::new(),
        }
    }

    fn begin(&mut self, place: usize) {
        self.give(place, Input::Routes(Arc::new(FlatRoutes::default())));
        self.give(place, Input::Current(true));
        self.give(place, Input::StoreChanged);
    }

    /// All living agents see the same new board.
    fn announce(&mut self) {
        self.board += 1;
        let own = self
            .members
            .iter()
            .map(|member| (member.id.clone(), seen(member.is_alive, None)));
        let others = self.peers.iter().map(|(name, peer)| {
            let id = agent(&format!("{name}/n"));
            (id, seen(peer.is_alive, Some(&peer.catalogue)))
        });
        let board = Arc::new(BoardView {
            agents: own.chain(others).collect(),
        });
        let abroad = self
            .peers
            .iter()
            .filter(|(_, peer)| peer.is_alive)
            .map(|(name, _)| (agent(&format!("{name}/n")), 1_000));
        let abroad: BTreeMap<AgentId, u64> = abroad.collect();

        // First all learn of it, then they act: effects of one must not meet another's old board.
        (0..AGENTS).for_each(|place| self.connect(place, &abroad));
        (0..AGENTS).for_each(|place| self.give(place, Input::Board(board.clone())));
    }

    /// An agent learns of its links, and who of its region is linked with the others.
    fn connect(&mut self, place: usize, abroad: &BTreeMap<AgentId, u64>) {
        let living = self.members.iter().filter(|member| member.is_alive);
        let living: Vec<AgentId> = living.map(|member| member.id.clone()).collect();
        let mut links: BTreeMap<AgentId, u64> =
            living.iter().map(|agent| (agent.clone(), 100)).collect();

        let own = &self.members[place].id;
        let chosen: Vec<AgentId> = living.into_iter().take(AGENTS - 1).collect();
        let gateways = Gateways::choose(own, &chosen, None, &links);
        if gateways.is_own {
            links.extend(abroad.clone());
        }

        self.give(place, Input::Links(Arc::new(links)));
        self.give(place, Input::Gateways(Arc::new(gateways)));
    }

    fn give(&mut self, place: usize, input: Input) {
        let now = self.now();
        let member = &mut self.members[place];
        if !member.is_alive {
            return;
        }

        let mut out = Vec::new();
        member.part.handle(input, now, &mut out);
        for effect in out {
            self.perform(place, effect);
        }
    }

    fn perform(&mut self, place: usize, effect: Effect) {
        let member = &mut self.members[place];
        let task = match effect {
            Effect::OwnCatalogue { catalogue, .. } => {
                member.own = (*catalogue).clone();
                return;
            }
            Effect::PeerCatalogue(region, _, catalogue) => {
                member.known.insert(region, (*catalogue).clone());
                return;
            }
            Effect::Scan => Task::Scanned(self.scan()),
            Effect::ReadCatalogue { region, .. } => Task::Read(region),
            Effect::Converge(actions) => Task::Converged(actions),
            Effect::Fetch {
                version, sources, ..
            } => {
                self.check_fetch(place, &version);
                Task::Fetched(version, sources.concat())
            }
            Effect::CleanUp(_) => Task::Cleaned,
            Effect::FindLosses(_) => Task::Checked,
            _ => return,
        };

        let due_ms = self.at_ms + self.rng.random_range(1..2_000);
        self.task_count += 1;
        self.tasks.insert((due_ms, self.task_count), (place, task));
    }

    /// The laws of each fetch.
    fn check_fetch(&mut self, place: usize, version: &VersionSummary) {
        self.fetch_count += 1;
        let member = &self.members[place];
        let known = member.known.values().flat_map(|known| &known.tombstones);
        let tombstones: Vec<_> = member.own.tombstones.iter().chain(known).cloned().collect();
        assert!(
            !Deletions::of(&tombstones).cover(version),
            "{version:?} is deleted"
        );

        let held = member.own.version(&version.model, &version.version);
        assert!(
            held.is_none_or(|held| held.content == version.content),
            "{held:?} was not renamed before the fetch of {version:?}"
        );

        if held.is_none() {
            let first = self
                .fetchers
                .entry((self.board, version.clone()))
                .or_insert_with(|| member.id.clone());
            assert_eq!(*first, member.id, "both fetch {version:?}");
        }
    }

    fn scan(&self) -> Scan {
        let mut catalogue = self.store.clone();
        let unfinished = catalogue.unfinished_deletions();
        catalogue.normalise();
        Scan {
            catalogue,
            unfinished,
        }
    }

    /// Runs for this long; with `is_eventful`, things happen on the way.
    pub(super) fn run(&mut self, ms: u64, is_eventful: bool) {
        let end_ms = self.at_ms + ms;
        let mut tick_ms = self.at_ms + TICK_MS;
        while self.at_ms < end_ms {
            let is_task = self
                .tasks
                .first_key_value()
                .is_some_and(|((due_ms, _), _)| *due_ms <= tick_ms);
            if is_task && let Some(((due_ms, _), (place, task))) = self.tasks.pop_first() {
                self.at_ms = due_ms;
                self.end_task(place, task);
                continue;
            }

            self.at_ms = tick_ms;
            tick_ms += TICK_MS;
            if is_eventful && self.is_likely(30) {
                self.event();
            }
            (0..AGENTS).for_each(|place| self.give(place, Input::Tick));
        }
    }

    fn end_task(&mut self, place: usize, task: Task) {
        if !self.members[place].is_alive {
            return;
        }

        let is_failed = self.is_failing && self.is_likely(30);
        let outcome = if is_failed {
            Err("failed".to_owned())
        } else {
            Ok(())
        };
        let input = match task {
            Task::Scanned(scan) => Input::Scanned(outcome.map(|()| scan)),
            Task::Cleaned => Input::Cleaned(outcome.map(|()| Cleaned::default())),
            Task::Checked => {
                let lost = self.lost.iter().cloned().collect();
                Input::LossesFound(outcome.map(|()| lost))
            }
            Task::Read(region) => {
                let peer = &self.peers[&region];
                let catalogue = Arc::new(peer.catalogue.clone());
                let read = (catalogue.digest().unwrap(), catalogue);
                let outcome = outcome.and(peer.is_alive.then_some(read).ok_or("dead".into()));
                Input::PeerCatalogue(region, outcome)
            }
            Task::Converged(actions) => {
                actions.iter().for_each(|action| self.apply(action));
                self.give(place, Input::StoreChanged);
                Input::ConvergeEnded(outcome)
            }
            Task::Fetched(version, sources) => {
                let outcome = outcome.and_then(|()| self.receive(&version, &sources));
                self.give(place, Input::StoreChanged);
                Input::FetchEnded(version, outcome)
            }
        };

        self.give(place, input);
    }

    fn apply(&mut self, action: &SyncAction) {
        match action {
            SyncAction::Delete(stone) => {
                self.store.tombstones.push(stone.clone());
                let deletions = Deletions::of(&self.store.tombstones);
                self.store.versions.retain(|held| !deletions.cover(held));
            }
            SyncAction::Rename { from, to } => {
                self.rename_count += 1;
                let moved = self.store.versions.iter_mut().find(|held| *held == from);
                moved.into_iter().for_each(|held| held.version = to.clone());
            }
            SyncAction::SetAlias(alias) => self.store.aliases.push(alias.clone()),
            SyncAction::Fetch { version, .. } => panic!("{version:?} among the changes"),
        }

        let versions = &self.store.versions;
        self.lost.retain(|lost| versions.contains(lost));
    }

    fn receive(&mut self, version: &VersionSummary, sources: &[AgentId]) -> Result<(), String> {
        let has_source = sources.iter().any(|agent| {
            let peer = &self.peers[&agent.region];
            peer.is_alive && peer.catalogue.versions.contains(version)
        });
        let held = self.store.version(&version.model, &version.version);
        if !has_source || held.is_some_and(|held| held != version) {
            return Err("no source, or the name is taken".into());
        }

        if held.is_none() {
            self.store.versions.push(version.clone());
        }
        self.lost.remove(version);
        Ok(())
    }

    /// Something happens to a region or an agent.
    fn event(&mut self) {
        let name = self.rng.random_range(0..12).to_string();
        let peer = region(PEERS[self.rng.random_range(0..PEERS.len())]);
        let place = self.rng.random_range(0..AGENTS);
        match self.rng.random_range(0..10) {
            0..3 => self.publish(&peer, &name),
            3..5 => self.publish_here(place, &name),
            5 => self.delete(&peer),
            6 => self.toggle(&peer),
            7 | 8 => self.restart(place),
            _ => {
                let count = self.store.versions.len();
                let index = self.rng.random_range(0..count.max(1));
                self.lost.extend(self.store.versions.get(index).cloned());
            }
        }

        self.announce();
    }

    fn publish(&mut self, name: &RegionName, version_name: &str) {
        let new = version(version_name, self.at_ms, name.as_str());
        let catalogue = &mut self.peers.get_mut(name).unwrap().catalogue;
        if catalogue.version(&new.model, &new.version).is_none() {
            catalogue.versions.push(new);
            catalogue.normalise();
        }
    }

    fn publish_here(&mut self, place: usize, version_name: &str) {
        let new = version(version_name, self.at_ms, "a");
        let is_free = self.store.version(&new.model, &new.version).is_none();
        if is_free && self.members[place].is_alive {
            self.store.versions.push(new);
            self.give(place, Input::StoreChanged);
        }
    }

    fn delete(&mut self, name: &RegionName) {
        let at_ms = self.at_ms;
        let catalogue = &mut self.peers.get_mut(name).unwrap().catalogue;
        if let Some(first) = catalogue.versions.first().cloned() {
            catalogue.tombstones.push(deletion(&first, at_ms));
            catalogue.normalise();
        }
    }

    fn toggle(&mut self, name: &RegionName) {
        let peer = self.peers.get_mut(name).unwrap();
        peer.is_alive = !peer.is_alive;
    }

    /// A living agent dies with its tasks; a dead one starts again.
    fn restart(&mut self, place: usize) {
        if self.members[place].is_alive {
            self.members[place].is_alive = false;
            self.tasks.retain(|_, (of, _)| *of != place);
        } else {
            self.members[place] = self.member(place);
            self.begin(place);
        }
    }

    /// Failures end, and at least one agent lives. A region stays dead if all living agents read
    /// its catalogue: agents that know different rivals of one name undo each other's work.
    pub(super) fn heal(&mut self) {
        self.is_failing = false;
        if self.members.iter().all(|member| !member.is_alive) {
            self.restart(0);
        }

        for (name, peer) in &mut self.peers {
            let mut living = self.members.iter().filter(|member| member.is_alive);
            let is_known = living.all(|member| member.known.get(name) == Some(&peer.catalogue));
            peer.is_alive |= !is_known;
        }
        self.announce();
    }

    /// What is left to do although it could be done.
    pub(super) fn left_undone(&self) -> Vec<String> {
        let is_alive = |name: &RegionName| self.peers[name].is_alive;
        let mut left = Vec::new();
        for member in self.members.iter().filter(|member| member.is_alive) {
            let known: Vec<_> = member.known.clone().into_iter().collect();
            let actions = plan_sync(&self.scan().catalogue, &known);
            let is_possible = |action: &SyncAction| match action {
                SyncAction::Fetch { regions, .. } => regions.iter().any(is_alive),
                _ => true,
            };

            left.extend(
                actions
                    .iter()
                    .filter(|action| is_possible(action))
                    .map(|action| format!("{}: {action:?}", member.id)),
            );
            for (name, peer) in self.peers.iter().filter(|(name, _)| is_alive(name)) {
                if member.known.get(name) != Some(&peer.catalogue) {
                    left.push(format!("{} has not read {name}", member.id));
                }
            }
        }

        let is_held = |lost: &&VersionSummary| {
            let mut peers = self.peers.values();
            peers.any(|peer| peer.is_alive && peer.catalogue.versions.contains(lost))
        };
        left.extend(self.lost.iter().filter(is_held).map(|v| format!("{v:?}")));
        left
    }
}
