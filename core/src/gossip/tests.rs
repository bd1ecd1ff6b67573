use super::*;
use crate::{
    Ticket,
    testing::{Key, Toy},
};
use proptest::prelude::*;
use regionmesh_protocol::status::entry::Entry;
use regionmesh_protocol::status::entry::EntryVersion;
use regionmesh_protocol::{
    codec,
    identity::MeshName,
    status::{AgentInfo, LeaderStatus, Links, Observations, ServingStatus, StatusKind},
};

mod laws;
mod relay;
mod restarts;
mod scale;
mod spreading;
mod trust;
mod world;

const MAX: usize = 1 << 20;

fn mesh() -> MeshName {
    "test.mesh".parse().unwrap()
}

fn agent(index: usize) -> AgentId {
    format!("r{}/a{index}", index % 3).parse().unwrap()
}

struct Expired;

impl Verifier for Expired {
    fn check_chain(&self, _: &AgentId, _: &[Vec<u8>]) -> Result<(), String> {
        Err("expired".into())
    }
    fn check_signature(
        &self,
        chain: &[Vec<u8>],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), String> {
        Toy.check_signature(chain, message, signature)
    }
}

fn board_of(owner: usize, started_ms: u64) -> Board {
    Board::new(mesh(), agent(owner), started_ms, BoardLimits::default())
}

fn reader() -> Board {
    board_of(99, 1)
}

fn status_entry(kind: u8, value: u64) -> StatusEntry {
    match kind % 5 {
        0 => StatusEntry::Serving(ServingStatus {
            requests_total: value,
            ..ServingStatus::default()
        }),
        1 => StatusEntry::Leader(LeaderStatus::default()),
        2 => StatusEntry::Links(Links {
            peers: vec![(value.to_string(), value)],
            unreachable: vec![],
        }),
        3 => StatusEntry::Observations(Observations::default()),
        _ => StatusEntry::Agent(AgentInfo {
            version: value.to_string(),
            started_ms: value,
            boot: value,
            api_url: String::new(),
            cloud: "local".into(),
        }),
    }
}

fn apply_at(board: &mut Board, delta: Delta, now: Instant) -> Applied {
    board.apply(
        delta,
        Judge {
            verifier: &Toy,
            alive: &BTreeSet::new(),
            now,
        },
    )
}

fn apply(board: &mut Board, delta: Delta) -> Applied {
    apply_at(board, delta, Instant::now())
}

/// All that `from` holds, into `into`.
fn merge(into: &mut Board, from: &Board) -> Applied {
    apply(into, from.delta_for(&Digest::default(), MAX))
}

/// One exchange; says whether anything moved.
fn exchange(a: &mut Board, b: &mut Board, max_bytes: usize) -> bool {
    let theirs = apply(a, b.delta_for(&a.digest(), max_bytes));
    let ours = apply(b, a.delta_for(&b.digest(), max_bytes));
    !theirs.changes.is_empty() || !ours.changes.is_empty()
}

/// The contents without times.
fn contents(board: &Board) -> Vec<Entry> {
    let owners: Vec<_> = board.owners().cloned().collect();
    owners
        .iter()
        .flat_map(|owner| board.entries(owner).map(|held| (*held.entry).clone()))
        .collect()
}

/// A step in the life of a few owners.
#[derive(Debug, Clone)]
enum Step {
    Publish { owner: usize, kind: u8, value: u64 },
    Rotate { owner: usize },
    Restart { owner: usize },
    Copy { reader: usize, owner: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..4usize, 0..5u8, 0..9u64)
            .prop_map(|(owner, kind, value)| Step::Publish { owner, kind, value }),
        1 => (0..4usize).prop_map(|owner| Step::Rotate { owner }),
        1 => (0..4usize).prop_map(|owner| Step::Restart { owner }),
        4 => (0..3usize, 0..4usize).prop_map(|(reader, owner)| Step::Copy { reader, owner }),
    ];

    prop::collection::vec(step, 0..60)
}

/// Three readers that saw different stages of the owners' lives, and the owners at the end.
fn live(steps: &[Step]) -> (Vec<Board>, Vec<Board>) {
    let now = Instant::now();
    let mut owners: Vec<Board> = (0..4).map(|owner| board_of(owner, 10)).collect();
    let mut keys: Vec<Key> = (0..4).map(|owner| Key(agent(owner), 0)).collect();
    let mut readers = vec![board_of(10, 1), board_of(11, 1), board_of(12, 1)];

    for (index, step) in steps.iter().enumerate() {
        match *step {
            Step::Publish { owner, kind, value } => {
                owners[owner]
                    .publish(status_entry(kind, value), &keys[owner], now)
                    .unwrap();
            }
            Step::Rotate { owner } => {
                keys[owner].1 += 1;
                owners[owner].certify(&keys[owner], now).unwrap();
            }
            Step::Restart { owner } => owners[owner] = board_of(owner, 100 + index as u64),
            Step::Copy { reader, owner } => {
                merge(&mut readers[reader], &owners[owner]);
            }
        }
    }

    (readers, owners)
}

proptest! {
    #[test]
    fn merge_is_commutative_associative_and_idempotent(steps in steps()) {
        let (readers, _) = live(&steps);
        let [a, b, c] = &readers[..] else {
            unreachable!()
        };
        let join = |parts: &[&Board]| {
            let mut sum = reader();
            for part in parts {
                merge(&mut sum, part);
            }
            sum
        };

        let all = contents(&join(&[a, b, c]));
        prop_assert_eq!(&contents(&join(&[c, b, a])), &all);
        prop_assert_eq!(&contents(&join(&[b, a, c])), &all);
        prop_assert_eq!(&contents(&join(&[a, &join(&[b, c])])), &all);
        prop_assert_eq!(&contents(&join(&[a, b, a, c, c, b])), &all);
    }

    #[test]
    fn boards_converge_after_exchanging_until_quiet(steps in steps(), max_bytes in 1..4000usize) {
        let (mut readers, _) = live(&steps);
        let (left, right) = readers.split_at_mut(1);
        let mut rounds = 0;

        while exchange(&mut left[0], &mut right[0], max_bytes) {
            rounds += 1;
            prop_assert!(rounds < 200, "no end of exchanging");
        }

        prop_assert_eq!(contents(&left[0]), contents(&right[0]));
        prop_assert_eq!(left[0].digest(), right[0].digest());
        prop_assert!(!left[0].has_news_in(Leaves::ALL, &right[0].digest()));
    }

    #[test]
    fn an_altered_entry_never_changes_a_board(
        steps in steps(),
        victim in 0..4usize,
        byte: usize,
        flip in 1..=255u8,
        field in 0..5u8,
    ) {
        let (_, owners) = live(&steps);
        let mut delta = owners[victim].delta_for(&Digest::default(), MAX);
        for entry in &mut delta.entries {
            match field {
                0 => {
                    let at = byte % entry.payload.len();
                    entry.payload[at] ^= flip;
                }
                1 => {
                    let at = byte % entry.signature.len();
                    entry.signature[at] ^= flip;
                }
                2 => entry.version.counter += u64::from(flip),
                3 => entry.owner = agent(victim + 1),
                _ => entry.version.started_ms += u64::from(flip),
            }
        }

        let mut fresh = reader();
        prop_assert!(apply(&mut fresh, delta.clone()).changes.is_empty());

        let mut full = reader();
        owners
            .iter()
            .for_each(|owner| drop(merge(&mut full, owner)));

        let before = contents(&full);
        prop_assert!(apply(&mut full, delta).changes.is_empty());
        prop_assert_eq!(contents(&full), before);
    }

    #[test]
    fn a_replay_of_the_past_never_changes_a_board(steps in steps(), cut in 0..60usize) {
        let (_, early) = live(&steps[..cut.min(steps.len())]);
        let (_, late) = live(&steps);
        let mut board = reader();

        early
            .iter()
            .chain(&late)
            .for_each(|owner| drop(merge(&mut board, owner)));

        let before = contents(&board);
        early
            .iter()
            .for_each(|owner| drop(merge(&mut board, owner)));
        prop_assert_eq!(contents(&board), before);
    }

    #[test]
    fn incoming_entries_are_bounded(
        steps in steps(),
        agents in 1..4usize,
        total_bytes in 0..3000usize,
        entry_bytes in 0..300usize,
    ) {
        let (_, owners) = live(&steps);
        let limits = BoardLimits {
            agents,
            total_bytes,
            entry_bytes,
            tombstones: 2,
            ..BoardLimits::default()
        };
        let mut board = Board::new(mesh(), agent(99), 1, limits);

        for owner in owners.iter().chain(&owners) {
            merge(&mut board, owner);
            prop_assert!(board.agent_count() <= agents && board.bytes() <= total_bytes);
            prop_assert!(board.digest().owners.len() <= agents + 2);
            let counted: usize = contents(&board).iter().map(Entry::size).sum();
            prop_assert_eq!(board.bytes(), counted);
        }
    }
}

#[test]
fn an_unchanged_status_is_not_republished_except_observations() {
    let mut owner = board_of(1, 5);
    let key = Key(agent(1), 0);
    let now = Instant::now();

    assert!(owner.publish(status_entry(0, 1), &key, now).unwrap());
    assert!(!owner.publish(status_entry(0, 1), &key, now).unwrap());
    assert!(owner.publish(status_entry(3, 1), &key, now).unwrap());
    assert!(owner.publish(status_entry(3, 1), &key, now).unwrap());
}

#[test]
fn random_exchanges_converge_in_logarithmic_rounds() {
    for (count, bound) in [(8, 8), (64, 12), (200, 15)] {
        let mut rng = StdRng::seed_from_u64(count as u64);
        let mut boards: Vec<Board> = (0..count).map(|index| board_of(index, 5)).collect();
        for (index, board) in boards.iter_mut().enumerate() {
            board
                .publish(
                    status_entry(0, index as u64),
                    &Key(agent(index), 0),
                    Instant::now(),
                )
                .unwrap();
        }

        let mut rounds = 0;
        while boards.iter().any(|board| board.agent_count() < count) {
            rounds += 1;
            for index in 0..count {
                let other = (index + rng.random_range(1..count)) % count;
                let [a, b] = boards.get_disjoint_mut([index, other]).unwrap();
                exchange(a, b, MAX);
            }

            assert!(
                rounds <= bound,
                "{count} boards not equal after {rounds} rounds"
            );
        }

        println!("{count} boards: {rounds} rounds");
    }
}
