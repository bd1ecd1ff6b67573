//! Packets from a peer that forges or corrupts them.

use super::*;
use proptest::prelude::*;

#[test]
fn a_packet_with_a_forged_sender_is_refused() {
    let mut network = Network::start(9, 2, 10, 0, 0.0);
    let (_, _, packet) = network.in_flight.first_key_value().unwrap().1.clone();
    network.act(0, |member, now, outputs| {
        let refused = member.receive(&name(7), &packet, now, outputs);
        assert!(
            matches!(refused, Err(PacketError::WrongSender { .. })),
            "{refused:?}"
        );

        assert!(outputs.sends.is_empty() && outputs.events.is_empty());
    });
}

#[test]
fn invented_members_cannot_grow_the_member_list_without_limit() {
    let mut network = Network::start(10, 2, 10, 0, 0.0);
    network.run(3_000);

    let liar = MemberId {
        agent: Arc::new(name(1)),
        generation: 1_000_000,
        renewals: 0,
    };
    let victim = MemberId {
        agent: Arc::new(name(0)),
        generation: 1_000_000,
        renewals: 0,
    };
    let mut refused = 0;

    for batch in 0..300usize {
        let header = Header {
            src: liar.clone(),
            src_incarnation: 0,
            dst: victim.clone(),
            message: Message::Gossip,
        };
        let mut packet = Vec::new();

        PostcardCodec.encode_header(&header, &mut packet).unwrap();
        packet.extend(10u16.to_be_bytes());
        for index in 0..10 {
            let agent = Arc::new(name(100 + batch * 10 + index));
            let member = Member::new(
                MemberId {
                    agent,
                    generation: 1,
                    renewals: 0,
                },
                0,
                State::Alive,
            );

            PostcardCodec.encode_member(&member, &mut packet).unwrap();
        }

        network.act(0, |member, now, outputs| {
            refused += usize::from(
                member.receive(&name(1), &packet, now, outputs) == Err(PacketError::Full),
            );
            outputs.sends.clear();
        });
    }

    assert!(refused >= 95, "{refused} batches refused");
    assert!(network.members[0].as_ref().unwrap().alive().len() < MEMBERS_MAX + 10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hostile_packets_never_panic(
        noise in prop::collection::vec(any::<u8>(), 0..1200),
        picks in prop::collection::vec((any::<usize>(), any::<usize>(), any::<u8>()), 40),
    ) {
        let mut network = Network::start(11, 4, 20, 0, 0.05);
        network.run(3_000);

        let packets = network.packets.clone();
        let mut hostile = vec![noise];
        hostile.extend(picks.iter().map(|(pick, at, byte)| {
            let mut packet = packets[pick % packets.len()].clone();
            let at = at % packet.len();
            packet[at] = *byte;
            packet
        }));

        for packet in hostile {
            for from in 0..4 {
                network.act(2, |member, now, outputs| {
                    drop(member.receive(&name(from), &packet, now, outputs))
                });
            }

            network.act(2, |member, now, outputs| member.wake(now, outputs));
        }
    }
}
