//! Laws of exchanges: the comparison of boards, the choice of peers, and bytes from outside.

use super::*;
use crate::now::Now;
use std::{collections::BTreeMap, sync::Arc};

fn gossip_of(index: usize, board: Board) -> Gossip {
    let settings = Settings {
        own: agent(index),
        mesh: mesh(),
        started_ms: 1,
    };
    let key = Arc::new(Key(agent(index), 0));
    let mut rng = StdRng::seed_from_u64(index as u64);
    let mut gossip = Gossip::new(settings, key, Arc::new(Toy), now(), &mut rng);

    gossip.board = board;
    gossip
}

fn now() -> Now {
    Now {
        monotonic: Instant::now(),
        unix_ms: 1_700_000_000_000,
    }
}

/// Compares the boards of two parts step by step; returns the number of exchanges.
fn compare(asker: &mut Gossip, answerer: &mut Gossip, at: Now) -> usize {
    let mut rng = StdRng::seed_from_u64(5);
    let mut effects = Vec::new();
    let with = answerer.own.clone();
    let mut exchanges = 0;
    // Each publishes its certificate in its first turn.
    for gossip in [&mut *asker, &mut *answerer] {
        gossip.handle(Input::Wake, at, &mut rng, &mut Vec::new());
    }
    asker.handle(Input::LinkUp(with.clone()), at, &mut rng, &mut effects);

    loop {
        let begun = effects.drain(..).find_map(|effect| match effect {
            Effect::BeginExchange { request, .. } => Some(request),
            _ => None,
        });
        let Some(request) = begun else {
            return exchanges;
        };
        exchanges += 1;
        let asked = Input::ExchangeAsked {
            from: asker.own.clone(),
            request,
            ticket: Ticket(1),
        };
        let mut answers = Vec::new();
        answerer.handle(asked, at, &mut rng, &mut answers);

        let answer = answers.into_iter().find_map(|effect| match effect {
            Effect::Reply(_, answer) => Some(answer),
            _ => None,
        });
        let ended = Input::ExchangeEnded {
            with: with.clone(),
            span: (at.monotonic, at.monotonic),
            answer: Ok(answer.unwrap()),
        };
        asker.handle(ended, at, &mut rng, &mut effects);
    }
}

proptest! {
    #[test]
    fn two_boards_are_equal_after_at_most_three_exchanges(
        left in prop::collection::btree_map(0..60usize, 0..4u64, 0..40),
        right in prop::collection::btree_map(0..60usize, 0..4u64, 0..40),
    ) {
        let at = now();
        let fill = |board: &mut Board, owners: &BTreeMap<usize, u64>| {
            for (owner, value) in owners {
                let mut source = board_of(*owner, 10 + value);
                let key = Key(agent(*owner), 0);
                source.publish(status_entry(0, *value), &key, at.monotonic).unwrap();
                merge(board, &source);
            }
        };
        let mut asker = gossip_of(100, board_of(100, 1));
        let mut answerer = gossip_of(101, board_of(101, 1));
        fill(&mut asker.board, &left);
        fill(&mut answerer.board, &right);

        let exchanges = compare(&mut asker, &mut answerer, at);
        prop_assert!(exchanges <= 3, "{} exchanges", exchanges);
        prop_assert_eq!(asker.board.digest(), answerer.board.digest());
        prop_assert_eq!(asker.board.tree(), answerer.board.tree());
    }

    #[test]
    fn the_tree_finds_every_owner_that_differs(steps in steps()) {
        let (readers, _) = live(&steps);
        let ours = readers[0].tree();
        let theirs = readers[1].tree();
        let leaves = ours.differing_leaves(&theirs.differing_branches(&ours.branches()));

        let differs = |owner: &AgentId| {
            readers[0].digest().owners.get(owner) != readers[1].digest().owners.get(owner)
        };
        for owner in readers[0].owners().chain(readers[1].owners()) {
            prop_assert_eq!(leaves.contains(tree::leaf_of(owner)), differs(owner));
        }
    }

    #[test]
    fn news_goes_to_at_most_the_fan_out_and_in_a_small_mesh_to_all(
        peers in prop::collection::btree_set((0..5usize, 0..20usize), 0..40),
        seed: u64,
    ) {
        let start = Instant::now();
        let mut rng = StdRng::seed_from_u64(seed);
        let region = |index: usize| format!("r{index}").parse().unwrap();
        let mut spread = spread::Spread::new(region(0));
        for (region, node) in &peers {
            spread.link_up(&format!("r{region}/n{node}").parse().unwrap(), start);
        }
        for due in spread.take_due(start, &mut rng) {
            spread.ended(&due.peer, None, start);
        }

        let news = (agent(7), StatusKind::Serving);
        spread.own_changed([news.clone()], start);
        let due = spread.take_due(start + Duration::from_millis(10), &mut rng);
        prop_assert_eq!(due.len(), peers.len().min(spread::FAN_OUT));
        prop_assert!(due.iter().all(|due| due.news.contains(&news)));

        // One of every other region, as far as they fit, and one of our own.
        let linked: BTreeSet<usize> = peers.iter().map(|(region, _)| *region).collect();
        let reached: BTreeSet<_> = due.iter().map(|due| due.peer.region.clone()).collect();
        prop_assert_eq!(reached.len(), linked.len().min(spread::FAN_OUT));

        // Those that already have it are left out.
        let known: BTreeSet<AgentId> = due.iter().map(|due| due.peer.clone()).collect();
        due.iter().for_each(|due| spread.ended(&due.peer, None, start));
        spread.learned([news], &known, start + Duration::from_secs(1));
        let relayed = spread.take_due(start + Duration::from_secs(2), &mut rng);
        prop_assert!(relayed.iter().all(|due| !known.contains(&due.peer)));
        prop_assert!(relayed.len() <= spread::FAN_OUT);
    }

    #[test]
    fn bytes_from_a_peer_never_panic(mut bytes: Vec<u8>, has_version: bool) {
        if has_version {
            bytes.insert(0, 2);
        }
        let at = now();
        let mut rng = StdRng::seed_from_u64(1);
        let mut gossip = gossip_of(1, board_of(1, 1));
        let mut effects = Vec::new();
        let inputs = [
            Input::LinkUp(agent(2)),
            Input::Datagram { from: agent(2), payload: bytes.clone() },
            Input::ExchangeAsked { from: agent(2), request: bytes.clone(), ticket: Ticket(1) },
            Input::ExchangeEnded {
                with: agent(2),
                span: (at.monotonic, at.monotonic),
                answer: Ok(bytes),
            },
        ];

        for input in inputs {
            gossip.handle(input, at, &mut rng, &mut effects);
        }
        let replied = effects.iter().any(|effect| matches!(effect, Effect::Reply(..)));
        prop_assert!(replied);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _ = (
            ExchangeRequest::decode(&bytes),
            ExchangeReply::decode(&bytes),
        );
        let entry = Entry {
            owner: agent(1),
            kind: StatusKind::Agent,
            version: EntryVersion::default(),
            payload: bytes.clone(),
            signature: bytes,
        };

        apply(
            &mut reader(),
            Delta {
                entries: vec![entry],
                has_more: false,
            },
        );
    }
}

#[test]
fn an_exchange_survives_encoding_and_decoding() {
    let mut owner = board_of(1, 5);
    owner
        .publish(status_entry(0, 1), &Key(agent(1), 0), Instant::now())
        .unwrap();

    let digest = owner.digest();
    let delta = owner.delta_for(&Digest::default(), MAX);
    let request = ExchangeRequest {
        delta: delta.clone(),
        recipients: vec![agent(3)],
        compare: Compare::Owners {
            leaves: Leaves::ALL,
            digest: digest.clone(),
        },
        ..ExchangeRequest::default()
    };

    assert_eq!(
        ExchangeRequest::decode(&request.encode().unwrap()).unwrap(),
        request
    );

    let comparisons = [
        Comparison::Owners { digest, delta },
        Comparison::Leaves(owner.tree().differing_branches(&[0; 16])),
        Comparison::Equal,
    ];
    for comparison in comparisons {
        let reply = ExchangeReply::Board {
            clock: request.clock,
            comparison,
        };
        assert_eq!(
            ExchangeReply::decode(&reply.encode().unwrap()).unwrap(),
            reply
        );
    }
}

#[test]
fn equal_boards_cost_a_few_bytes() {
    let request = ExchangeRequest {
        compare: Compare::Branches([u64::MAX; 16]),
        ..ExchangeRequest::default()
    };
    let reply = ExchangeReply::Board {
        clock: request.clock,
        comparison: Comparison::Equal,
    };

    assert!(request.encode().unwrap().len() < 200);
    assert!(reply.encode().unwrap().len() < 20);
}

#[test]
fn another_version_of_the_format_is_named() {
    let refused = ExchangeRequest::decode(&[1, 0, 0]).unwrap_err();
    assert!(refused.to_string().contains("version 1"), "{refused}");
}
