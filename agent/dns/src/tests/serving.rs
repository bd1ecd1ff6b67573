//! What is answered for `serving` and for the regions' own names.

use super::*;

proptest! {
    #[test]
    fn serving_never_gets_an_empty_answer(weights in weights(), random: u32) {
        let answer = ask(
            &zone_with(&weights),
            "serving.regionmesh.test.",
            RecordType::A,
            random,
        );

        prop_assert_eq!(answer.metadata.response_code, ResponseCode::NoError);
        prop_assert!(!addresses(&answer).is_empty());
    }

    #[test]
    fn a_region_without_a_share_is_left_out_while_another_has_one(
        weights in weights(),
        random: u32,
    ) {
        prop_assume!(weights.iter().any(|weight| *weight > 0));
        let zone = zone_with(&weights);
        let answer = zone.answer(
            &query("serving.regionmesh.test.", RecordType::A),
            CLIENT,
            random,
        );
        let region = answer
            .region
            .unwrap()
            .name
            .as_str()
            .trim_start_matches('r')
            .parse::<usize>()
            .unwrap();

        prop_assert!(weights[region] > 0);
        let expected: IpAddr = format!("10.0.0.{region}").parse().unwrap();
        prop_assert_eq!(addresses(&answer.message), vec![expected]);
    }

    #[test]
    fn regions_are_drawn_in_proportion_to_their_shares(weights in weights()) {
        prop_assume!(weights.iter().any(|weight| *weight > 0));
        let zone = zone_with(&weights);
        let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
        let draws = 4_096;
        let mut counts = BTreeMap::<String, f64>::new();

        for draw in 0..draws {
            // Evenly over all random numbers: the law holds without a sampling error.
            let region = zone.draw(Family::V4, draw << 20).unwrap();
            *counts.entry(region.name.to_string()).or_default() += 1.0;
        }

        for (index, weight) in weights.iter().enumerate() {
            let share = counts
                .get(&format!("r{index}"))
                .copied()
                .unwrap_or_default()
                / f64::from(draws);

            prop_assert!(
                (share - f64::from(*weight) / total).abs() < 1e-3,
                "r{index}: {share}"
            );
        }
    }

    #[test]
    fn arbitrary_bytes_get_an_answer_or_silence(
        packet in proptest::collection::vec(any::<u8>(), 0..600),
        random: u32,
    ) {
        let zone = zone_with(&[1, 2]);
        if let Some(reply) = respond(&zone, &packet, CLIENT, Transport::Udp, random) {
            prop_assert_eq!(&reply.packet[..2], &packet[..2]);
            prop_assert!(reply.packet[2] & 0x80 != 0, "an answer is marked as one");
            prop_assert!(reply.packet.len() <= usize::from(UDP_PAYLOAD));
        }
    }

    #[test]
    fn a_damaged_query_gets_an_answer_or_silence(
        kind: u16,
        edns: bool,
        position: prop::sample::Index,
        byte: u8,
        cut: prop::sample::Index,
        random: u32,
    ) {
        let mut message = query("serving.regionmesh.test.", RecordType::from(kind));
        if edns {
            message.set_edns(Edns::new());
        }

        let mut packet = message.to_vec().unwrap();
        let at = position.index(packet.len());
        packet[at] = byte;
        packet.truncate(cut.index(packet.len()) + 1);
        if let Some(reply) = respond(&zone_with(&[1, 2]), &packet, CLIENT, Transport::Udp, random) {
            prop_assert!(Message::from_vec(&reply.packet).is_ok());
        }
    }

    #[test]
    fn names_match_in_any_case_and_answers_preserve_the_spelling(flips: u64, random: u32) {
        let spelled: String = "serving.regionmesh.test."
            .char_indices()
            .map(|(index, c)| {
                if flips >> index & 1 == 1 {
                    c.to_ascii_uppercase()
                } else {
                    c
                }
            })
            .collect();

        let packet = query(&spelled, RecordType::A).to_vec().unwrap();
        let zone = zone_with(&[1]);
        let reply = respond(&zone, &packet, CLIENT, Transport::Udp, random).unwrap();
        let answer = Message::from_vec(&reply.packet).unwrap();

        prop_assert_eq!(answer.queries[0].name().to_ascii(), spelled.clone());
        prop_assert_eq!(answer.answers[0].name.to_ascii(), spelled);
    }
}

#[test]
fn before_the_first_plan_all_configured_regions_are_answered() {
    let zone = Zone::compile(&config(), None).unwrap();
    let mut seen: Vec<IpAddr> = (0..12)
        .flat_map(|n| {
            addresses(&ask(
                &zone,
                "serving.regionmesh.test.",
                RecordType::A,
                n * (u32::MAX / 12),
            ))
        })
        .collect();

    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 3);
    assert_eq!(zone.soa.serial, 0);
}

#[test]
fn before_the_first_plan_an_active_passive_mesh_answers_its_first_region() {
    let mut config = config();
    config.traffic.strategy = regionmesh_core::planning::Strategy::ActivePassive;
    config.regions[0].priority = 2;

    let zone = Zone::compile(&config, None).unwrap();
    for random in [0, u32::MAX / 2, u32::MAX] {
        let answer = ask(&zone, "serving.regionmesh.test.", RecordType::A, random);
        assert_eq!(
            addresses(&answer),
            ["127.0.0.12".parse::<IpAddr>().unwrap()]
        );
    }
}

#[test]
fn a_plan_without_any_share_is_answered_with_all_regions() {
    let zone = Zone::compile(&config(), Some(&three(1, [0, 0, 0]))).unwrap();
    assert_eq!(
        addresses(&ask(&zone, "serving.regionmesh.test.", RecordType::A, 7)).len(),
        3
    );
}

#[test]
fn a_local_answer_overrides_a_plan_without_addresses() {
    let mut config = config();
    config.traffic.when_all_down = WhenAllDown::Empty;

    let mut plan = three(1, [0, 0, 1]);
    plan.plan.all_failed_ms = Some(1);

    let answered = |local: Option<LocalAnswer>| {
        let adjustments = Adjustments {
            local: local.map(Arc::new),
            ..Adjustments::default()
        };
        let zone = Zone::compile_with(&config, Some(&plan), &adjustments).unwrap();

        addresses(&ask(&zone, "serving.regionmesh.test.", RecordType::A, 7)).len()
    };

    assert_eq!(answered(None), 0);
    let weights = plan
        .plan
        .regions
        .iter()
        .map(|(name, region)| (name.clone(), region.weight_bp))
        .collect();

    assert_eq!(
        answered(Some(LocalAnswer {
            weights,
            ..LocalAnswer::default()
        })),
        1
    );
}

#[test]
fn a_plan_without_any_address_is_answered_from_the_configuration() {
    let answered = |plan: &CommittedPlan| {
        let zone = Zone::compile(&config(), Some(plan)).unwrap();
        addresses(&ask(&zone, "serving.regionmesh.test.", RecordType::A, 7)).len()
    };

    let mut plan = plan(1, &[("nowhere", 1, &[])]);
    assert_eq!(answered(&plan), 1);

    plan.plan.regions.clear();
    assert_eq!(answered(&plan), 1);
}

#[test]
fn an_address_or_region_that_is_not_in_the_configuration_is_never_answered() {
    let strange: &[&str] = &["127.66.66.66", "fd00::66"];
    let mixed: &[&str] = &["127.66.66.66", "127.0.0.12"];
    let forged = plan(
        9,
        &[
            ("us-west-2", 0, strange),
            ("eu-west-1", 5, mixed),
            ("elsewhere", 10_000, strange),
        ],
    );

    let zone = Zone::compile(&config(), Some(&forged)).unwrap();
    for random in (0..16).map(|n| n * (u32::MAX / 16)) {
        let answer = ask(&zone, "serving.regionmesh.test.", RecordType::A, random);
        assert_eq!(
            addresses(&answer),
            ["127.0.0.12".parse::<IpAddr>().unwrap()]
        );

        let own = ask(
            &zone,
            "us-west-2.serving.regionmesh.test.",
            RecordType::A,
            random,
        );

        assert_eq!(addresses(&own), ["127.0.0.11".parse::<IpAddr>().unwrap()]);
    }

    is_negative(
        &ask(
            &zone,
            "elsewhere.serving.regionmesh.test.",
            RecordType::A,
            0,
        ),
        ResponseCode::NXDomain,
    );
}

#[test]
fn a_query_is_answered_from_the_regions_with_that_address_family() {
    let both = plan(
        3,
        &[
            ("a", 10_000, &["10.0.0.1"]),
            ("b", 1, &["10.0.0.2", "fd00::2"]),
        ],
    );
    let zone = Zone::compile(&config_for(&both), Some(&both)).unwrap();

    for random in [0, u32::MAX / 2, u32::MAX] {
        let answer = ask(&zone, "serving.regionmesh.test.", RecordType::AAAA, random);
        assert_eq!(addresses(&answer), ["fd00::2".parse::<IpAddr>().unwrap()]);
    }

    let zone = Zone::compile(&config(), Some(&three(3, [1, 1, 1]))).unwrap();
    is_negative(
        &ask(&zone, "serving.regionmesh.test.", RecordType::AAAA, 0),
        ResponseCode::NoError,
    );
}

#[test]
fn an_answer_has_all_addresses_of_one_region_and_the_configured_ttl() {
    let plan = plan(3, &[("a", 1, &["10.0.0.1", "10.0.0.2", "fd00::1"])]);
    let zone = Zone::compile(&config_for(&plan), Some(&plan)).unwrap();
    let answer = ask(&zone, "serving.regionmesh.test.", RecordType::A, 0);

    assert_eq!(addresses(&answer).len(), 2);
    assert!(answer.answers.iter().all(|record| record.ttl == 5));
    assert!(answer.metadata.authoritative && !answer.metadata.recursion_available);
}

#[test]
fn a_regions_own_name_is_answered_regardless_of_its_share() {
    let zone = Zone::compile(&config(), Some(&three(1, [0, 1, 1]))).unwrap();
    let answer = ask(
        &zone,
        "us-west-2.serving.regionmesh.test.",
        RecordType::A,
        0,
    );

    assert_eq!(
        addresses(&answer),
        ["127.0.0.11".parse::<IpAddr>().unwrap()]
    );
}
