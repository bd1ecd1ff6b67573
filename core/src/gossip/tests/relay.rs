//! Relaying and forgetting entries.

use super::*;

#[test]
fn a_withheld_entry_arrives_through_another_peer() {
    let mut owner = board_of(1, 5);
    let key = Key(agent(1), 0);
    let now = Instant::now();

    owner.publish(status_entry(0, 1), &key, now).unwrap();
    owner.publish(status_entry(4, 2), &key, now).unwrap();

    let mut censored = owner.delta_for(&Digest::default(), MAX);
    censored
        .entries
        .retain(|entry| entry.kind != StatusKind::Serving);

    let mut board = reader();
    apply(&mut board, censored);
    assert_eq!(
        board.digest().owners[&agent(1)].newest,
        owner.digest().owners[&agent(1)].newest
    );

    exchange(&mut board, &mut owner, MAX);
    assert_eq!(contents(&board), contents(&owner));
}

#[test]
fn only_the_owner_can_undo_being_forgotten() {
    let mut owner = board_of(1, 5);
    let key = Key(agent(1), 0);
    let now = Instant::now();

    owner.publish(status_entry(0, 1), &key, now).unwrap();
    let mut board = reader();
    merge(&mut board, &owner);

    let relay = board.clone();
    board.forget(&agent(1), now);
    assert_eq!((board.agent_count(), board.bytes()), (0, 0));
    assert!(
        relay.delta_for(&board.digest(), MAX).is_empty(),
        "the relay would send it again and again"
    );

    assert_eq!(merge(&mut board, &relay).rejected[&Rejection::Forgotten], 2);
    let mut reborn = board_of(1, 6);
    reborn.publish(status_entry(0, 1), &key, now).unwrap();
    merge(&mut board, &reborn);
    assert_eq!(contents(&board), contents(&reborn));
}

#[test]
fn the_longest_dead_owner_is_evicted_and_living_ones_never_are() {
    let limits = BoardLimits {
        agents: 2,
        ..BoardLimits::default()
    };
    let mut board = Board::new(mesh(), agent(99), 1, limits);
    let start = Instant::now();
    let newcomer = |index: usize| {
        let mut owner = board_of(index, 5);
        owner
            .publish(status_entry(0, 1), &Key(agent(index), 0), start)
            .unwrap();
        owner.delta_for(&Digest::default(), MAX)
    };

    let alive = BTreeSet::from([agent(0)]);
    for index in 0..3 {
        let now = start + Duration::from_secs(index as u64);
        board.apply(
            newcomer(index),
            Judge {
                verifier: &Toy,
                alive: &alive,
                now,
            },
        );
    }

    assert_eq!(
        board.owners().cloned().collect::<BTreeSet<_>>(),
        BTreeSet::from([agent(0), agent(2)])
    );

    let alive = BTreeSet::from([agent(0), agent(2)]);
    let applied = board.apply(
        newcomer(3),
        Judge {
            verifier: &Toy,
            alive: &alive,
            now: start,
        },
    );

    // The certificate finds no room; without it the rest is not believed.
    assert_eq!(
        applied.rejected,
        [(Rejection::Full, 1), (Rejection::NoCertificate, 1)].into()
    );
}
