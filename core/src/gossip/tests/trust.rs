//! Whose entries are believed.

use super::*;

#[test]
fn entries_survive_a_certificate_rotation() {
    let mut owner = board_of(1, 5);
    let now = Instant::now();
    owner
        .publish(status_entry(0, 1), &Key(agent(1), 0), now)
        .unwrap();
    owner
        .publish(status_entry(4, 2), &Key(agent(1), 0), now)
        .unwrap();

    let mut board = reader();
    merge(&mut board, &owner);
    assert!(owner.certify(&Key(agent(1), 1), now).unwrap());

    let news = owner.delta_for(&board.digest(), MAX);
    let applied = apply(&mut board, news);
    assert_eq!((applied.changes.len(), applied.rejected.len()), (3, 0));
    assert_eq!(contents(&board), contents(&owner));

    // And a third board gets all of it through the second.
    let mut third = reader();
    assert!(merge(&mut third, &board).rejected.is_empty());
    assert_eq!(contents(&third), contents(&owner));
}

#[test]
fn an_expired_certificate_cannot_sign() {
    let mut owner = board_of(1, 5);
    let key = Key(agent(1), 0);
    let start = Instant::now();

    owner.publish(status_entry(0, 1), &key, start).unwrap();
    let mut board = reader();
    apply_at(&mut board, owner.delta_for(&Digest::default(), MAX), start);
    owner.publish(status_entry(0, 2), &key, start).unwrap();

    let late = Judge {
        verifier: &Expired,
        alive: &BTreeSet::new(),
        now: start + Duration::from_secs(3600),
    };
    let applied = board.apply(owner.delta_for(&board.digest(), MAX), late);

    assert_eq!(applied.rejected, [(Rejection::BadCertificate, 1)].into());
}

#[test]
fn an_agent_whose_clock_was_set_back_outranks_its_past_again() {
    let mut past = board_of(1, 1000);
    let key = Key(agent(1), 0);
    let now = Instant::now();

    past.publish(status_entry(0, 1), &key, now).unwrap();
    past.publish(status_entry(4, 7), &key, now).unwrap();

    let mut board = reader();
    merge(&mut board, &past);

    let mut reborn = board_of(1, 10);
    reborn.publish(status_entry(0, 2), &key, now).unwrap();
    assert!(merge(&mut board, &reborn).changes.is_empty());

    let past = board.delta_for(&reborn.digest(), MAX);
    let heard = apply(&mut reborn, past);
    assert!(heard.is_outranked && heard.changes.is_empty());
    reborn.sign_again(&key, now).unwrap();
    exchange(&mut board, &mut reborn, MAX);
    assert_eq!(contents(&board), contents(&reborn));
    assert!(!apply(&mut reborn, board.delta_for(&Digest::default(), MAX)).is_outranked);
}

#[test]
fn another_agent_cannot_outrank_us() {
    let mut owner = board_of(1, 5);
    let key = Key(agent(1), 0);
    let now = Instant::now();

    owner.publish(status_entry(0, 1), &key, now).unwrap();
    let mut delta = owner.delta_for(&Digest::default(), MAX);
    delta
        .entries
        .iter_mut()
        .for_each(|entry| entry.version.started_ms = u64::MAX);

    let applied = apply(&mut owner, delta);
    assert!(!applied.is_outranked && applied.rejected[&Rejection::BadSignature] == 2);
}

#[test]
fn an_entry_of_another_mesh_is_refused() {
    let mut foreign = Board::new(
        "other.mesh".parse().unwrap(),
        agent(1),
        5,
        BoardLimits::default(),
    );

    foreign
        .publish(status_entry(0, 1), &Key(agent(1), 0), Instant::now())
        .unwrap();
    assert!(merge(&mut reader(), &foreign).changes.is_empty());
}

#[test]
fn a_flood_of_forgeries_is_skipped() {
    let mut owner = board_of(1, 5);
    let now = Instant::now();
    owner
        .publish(status_entry(0, 1), &Key(agent(1), 0), now)
        .unwrap();

    let mut entry = owner.delta_for(&Digest::default(), MAX).entries.remove(0);
    entry.signature[0] ^= 1;

    let applied = apply(
        &mut reader(),
        Delta {
            entries: vec![entry; 2000],
            has_more: false,
        },
    );

    assert_eq!(
        applied.rejected,
        [(Rejection::BadSignature, 16), (Rejection::Skipped, 1984)].into()
    );
}

#[test]
fn an_oversized_status_is_refused_before_signing() {
    let mut owner = board_of(1, 5);
    let links = Links {
        peers: vec![("x".repeat(1000), 1); 300],
        unreachable: vec![],
    };
    let refused = owner.publish(StatusEntry::Links(links), &Key(agent(1), 0), Instant::now());

    assert!(
        matches!(refused, Err(PublishError::TooLarge { .. })),
        "{refused:?}"
    );

    assert!(codec::encode(&owner.digest()).is_ok());
}
