mod hostile;

use super::*;
use rand::{RngExt, SeedableRng};

/// A scripted network with virtual time. Runs are deterministic by seed.
struct Network {
    start: Instant,
    now: Instant,
    members: Vec<Option<Membership>>,
    in_flight: BTreeMap<(Instant, u64), (usize, AgentId, Vec<u8>)>,
    sent: u64,
    one_way: Duration,
    jitter: Duration,
    loss: f64,
    cut: BTreeSet<usize>,
    paused: BTreeSet<usize>,
    events: Vec<(Duration, usize, MemberEvent)>,
    packets: Vec<Vec<u8>>,
    rng: StdRng,
}

fn name(index: usize) -> AgentId {
    format!("region-{}/node-{index}", index % 3)
        .parse()
        .unwrap()
}

impl Network {
    fn new(seed: u64, one_way_ms: u64, jitter_ms: u64, loss: f64) -> Self {
        let start = Instant::now();
        Self {
            start,
            now: start,
            members: Vec::new(),
            in_flight: BTreeMap::new(),
            sent: 0,
            one_way: Duration::from_millis(one_way_ms),
            jitter: Duration::from_millis(jitter_ms),
            loss,
            cut: BTreeSet::new(),
            paused: BTreeSet::new(),
            events: Vec::new(),
            packets: Vec::new(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// `count` members; each is linked to the first.
    fn start(seed: u64, count: usize, one_way_ms: u64, jitter_ms: u64, loss: f64) -> Self {
        let mut network = Self::new(seed, one_way_ms, jitter_ms, loss);
        for index in 0..count {
            network.boot(index, 1_000_000);
        }
        for index in 1..count {
            network.link(index, 0);
        }

        network
    }

    fn boot(&mut self, index: usize, generation: u64) {
        let rng = StdRng::seed_from_u64(self.rng.random());
        let member = Membership::new(name(index), generation, rng, self.now);
        self.members
            .resize_with(self.members.len().max(index + 1), || None);
        self.members[index] = Some(member);
    }

    fn link(&mut self, from: usize, to: usize) {
        self.act(from, |member, now, outputs| {
            member.link_up(&name(to), now, outputs)
        });
        self.act(to, |member, now, outputs| {
            member.link_up(&name(from), now, outputs)
        });
    }

    fn act(&mut self, index: usize, act: impl FnOnce(&mut Membership, Instant, &mut Outputs)) {
        let Some(member) = self.members[index].as_mut() else {
            return;
        };
        let mut outputs = Outputs::default();

        act(member, self.now, &mut outputs);
        let at = self.now - self.start;
        self.events
            .extend(outputs.events.into_iter().map(|event| (at, index, event)));

        for (to, packet) in outputs.sends {
            assert!(packet.len() <= PACKET_MAX);
            self.sent += 1;

            // Hostile packets invent members.
            let Some(to) = (0..self.members.len()).find(|index| name(*index) == to) else {
                continue;
            };
            if self.packets.len() < 2000 {
                self.packets.push(packet.clone());
            }

            let is_cut = self.cut.contains(&index) != self.cut.contains(&to);
            if is_cut || self.rng.random_bool(self.loss) {
                continue;
            }

            let jitter = self.jitter.mul_f64(self.rng.random());
            self.in_flight.insert(
                (self.now + self.one_way + jitter, self.sent),
                (to, name(index), packet),
            );
        }
    }

    fn run(&mut self, for_ms: u64) {
        let end = self.now + Duration::from_millis(for_ms);
        self.run_until(end, |_| false);
    }

    /// Runs until all of `count` members see each other; panics if that takes longer than `for_ms`.
    fn run_until_all_see(&mut self, count: usize, for_ms: u64) {
        let took = self.run_while(for_ms, |network| network.all_see(count));
        assert!(took.is_some(), "not within {for_ms} ms");
    }

    /// Runs until `is_done`, at most `for_ms`; returns how long it took.
    fn run_while(&mut self, for_ms: u64, is_done: impl Fn(&Self) -> bool) -> Option<Duration> {
        let begin = self.now;
        let end = self.now + Duration::from_millis(for_ms);
        self.run_until(end, is_done).then(|| self.now - begin)
    }

    fn run_until(&mut self, end: Instant, is_done: impl Fn(&Self) -> bool) -> bool {
        loop {
            if is_done(self) {
                return true;
            }

            let awake = |(index, _): &(usize, &Option<Membership>)| !self.paused.contains(index);
            let wake = self.members.iter().enumerate().filter(awake);
            let wake = wake
                .filter_map(|(index, member)| Some((member.as_ref()?.next_wake()?, index)))
                .min();
            let packet = self.in_flight.first_key_value().map(|((at, _), _)| *at);
            let next = wake
                .map(|(at, _)| at)
                .into_iter()
                .chain(packet)
                .min()
                .filter(|at| *at <= end);

            let Some(next) = next else {
                self.now = end;
                return is_done(self);
            };

            self.now = self.now.max(next);
            if packet == Some(next) {
                let (_, (to, from, packet)) = self.in_flight.pop_first().unwrap();
                if self.paused.contains(&to) {
                    let later = self.now + Duration::from_millis(100);
                    self.sent += 1;
                    self.in_flight
                        .insert((later, self.sent), (to, from, packet));
                } else {
                    self.act(to, |member, now, outputs| {
                        member.receive(&from, &packet, now, outputs).unwrap()
                    });
                }
            } else if let Some((_, index)) = wake {
                self.act(index, |member, now, outputs| member.wake(now, outputs));
            }
        }
    }

    fn all_see(&self, count: usize) -> bool {
        self.members
            .iter()
            .flatten()
            .all(|member| member.alive().len() == count - 1)
    }

    fn downs(&self) -> Vec<&(Duration, usize, MemberEvent)> {
        self.events
            .iter()
            .filter(|(_, _, event)| matches!(event, MemberEvent::Down(_)))
            .collect()
    }
}

fn is_down_everywhere(network: &Network, index: usize) -> bool {
    network
        .members
        .iter()
        .flatten()
        .all(|member| !member.alive().contains(&name(index)))
}

#[test]
fn members_discover_each_other_through_one_seed() {
    for count in [2, 5, 30, 80] {
        let mut network = Network::start(1, count, 40, 10, 0.0);
        let took = network.run_while(60_000, |network| network.all_see(count));
        println!("{count} members know each other after {took:?}");
        assert!(
            took.is_some_and(|took| took < Duration::from_secs(25)),
            "{count} members: {took:?}"
        );
    }
}

#[test]
fn a_killed_member_is_down_everywhere_within_seconds() {
    for (count, one_way_ms, bound_ms) in
        [(3, 1, 2600), (5, 40, 2600), (20, 40, 3200), (50, 60, 5000)]
    {
        let runs = if count > 20 { 1 } else { 20 };
        let mut times: Vec<Duration> = (0..runs)
            .map(|seed| {
                let mut network = Network::start(seed, count, one_way_ms, one_way_ms / 4, 0.0);
                network.run_until_all_see(count, 60_000);
                network.run(1_000 + seed * 37);
                network.members[1] = None;
                network
                    .run_while(20_000, |network| is_down_everywhere(network, 1))
                    .unwrap()
            })
            .collect();

        times.sort();
        let half = times[times.len() / 2];
        let last = times[times.len() - 1];

        println!(
            "{count} members, {one_way_ms} ms: down after {half:?} (half), {last:?} (all {runs})"
        );
        assert!(
            last < Duration::from_millis(bound_ms),
            "{count} members: {last:?}"
        );
    }
}

#[test]
fn long_paths_with_loss_do_not_flap() {
    // 250 to 310 ms round trips; one packet in a hundred is lost.
    for (count, seeds, minutes) in [(3, 2, 10), (10, 1, 3), (30, 1, 1)] {
        for seed in 0..seeds {
            let mut network = Network::start(seed, count, 125, 30, 0.01);
            network.run_until_all_see(count, 60_000);
            network.run(minutes * 60_000);
            assert!(
                network.downs().is_empty(),
                "{count} members, seed {seed}: {:?}",
                network.downs()
            );

            let rejoins = network
                .events
                .iter()
                .filter(|(_, _, event)| matches!(event, MemberEvent::Rejoined(_)));

            assert_eq!(
                rejoins.count(),
                0,
                "{count} members, seed {seed}: a live member was declared dead"
            );
        }
    }
}

#[test]
fn a_lost_announcement_is_repeated() {
    let mut network = Network::start(3, 2, 10, 0, 1.0);
    network.run(5_000);
    assert!(network.events.is_empty());
    network.loss = 0.0;
    assert!(
        network
            .run_while(1_500, |network| network.all_see(2))
            .is_some()
    );
}

#[test]
fn a_restarted_member_replaces_its_earlier_process_immediately() {
    let mut network = Network::start(4, 5, 40, 0, 0.0);
    network.run_until_all_see(5, 10_000);
    network.run(3_000);
    network.events.clear();
    network.boot(2, 1_005_000);
    network.link(2, 0);
    network.run(10_000);
    assert!(network.all_see(5));
    assert!(network.downs().is_empty(), "{:?}", network.downs());

    for seen_by in [0, 1, 3, 4] {
        assert!(network.events.iter().any(|(at, by, event)| {
            *by == seen_by
                && *event == MemberEvent::Restarted(name(2))
                && *at < Duration::from_secs(16)
        }));
    }
}

#[test]
fn a_member_whose_clock_was_set_back_rejoins() {
    let mut network = Network::start(5, 4, 40, 0, 0.0);
    network.run_until_all_see(4, 10_000);
    network.boot(2, 1_000_000 - 700_000);
    network.link(2, 0);
    network.run(15_000);
    assert!(network.all_see(4));
    assert!(network.members[2].as_ref().unwrap().generation() > 1_000_000);
}

#[test]
fn a_member_declared_dead_rejoins_when_the_network_heals() {
    let mut network = Network::start(6, 6, 40, 0, 0.0);
    network.run_until_all_see(6, 10_000);
    network.cut = BTreeSet::from([4, 5]);
    network.run(20_000);
    assert_eq!(network.members[0].as_ref().unwrap().alive().len(), 3);
    assert_eq!(network.members[5].as_ref().unwrap().alive().len(), 1);
    network.cut.clear();

    let took = network.run_while(30_000, |network| network.all_see(6));
    println!("healed after {took:?}");
    assert!(
        took.is_some_and(|took| took < Duration::from_secs(5)),
        "{took:?}"
    );

    assert!(
        network
            .events
            .iter()
            .any(|(_, _, event)| matches!(event, MemberEvent::Rejoined(_)))
    );
}

#[test]
fn a_member_that_was_paused_declares_no_member_dead() {
    let mut network = Network::start(7, 5, 40, 0, 0.0);
    network.run_until_all_see(5, 10_000);
    network.paused.insert(3);
    network.run(30_000);
    assert!(
        !network.members[0]
            .as_ref()
            .unwrap()
            .alive()
            .contains(&name(3))
    );

    network.paused.clear();
    network.run(10_000);
    assert!(network.all_see(5));
    let downs = network.downs();
    assert!(downs.iter().all(|(_, by, _)| *by != 3), "{downs:?}");
}

#[test]
fn a_pause_during_a_suspicion_declares_no_member_dead() {
    let mut network = Network::start(12, 5, 40, 0, 0.0);
    network.run_until_all_see(5, 10_000);
    network.cut.insert(3);
    network
        .run_while(5_000, |network| {
            !network.members[3].as_ref().unwrap().suspects.is_empty()
        })
        .unwrap();

    network.paused.insert(3);
    network.cut.clear();
    network.run(3_000);
    network.paused.clear();
    network.run(10_000);
    assert!(network.all_see(5));
    let downs = network.downs();
    assert!(downs.iter().all(|(_, by, _)| *by != 3), "{downs:?}");
}

#[test]
fn an_idle_mesh_sends_little() {
    let mut network = Network::start(8, 3, 40, 0, 0.0);
    network.run(10_000);

    let before = network.sent;
    network.run(60_000);

    let per_member_and_second = (network.sent - before) as f64 / 60.0 / 3.0;
    println!("{per_member_and_second:.1} packets per member and second");
    assert!(per_member_and_second < 8.0);
}
