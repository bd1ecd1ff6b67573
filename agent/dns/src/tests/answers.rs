//! Every other answer: the apex, negative answers, refusals, EDNS, truncation.

use super::*;

#[test]
fn the_apex_has_a_serial_that_follows_the_plan_and_servers_with_glue() {
    let zone = Zone::compile(&config(), Some(&three(u64::from(u32::MAX) + 3, [1, 1, 1]))).unwrap();
    let soa = ask(&zone, "regionmesh.test.", RecordType::SOA, 0);
    assert!(
        matches!(&soa.answers[0].data, RData::SOA(soa) if soa.serial == 2),
        "wraps as in RFC 1982"
    );

    let servers = ask(&zone, "regionmesh.test.", RecordType::NS, 0);
    assert_eq!((servers.answers.len(), servers.additionals.len()), (3, 3));

    let glue = ask(&zone, "ns-eu-west-1.regionmesh.test.", RecordType::A, 0);
    assert_eq!(addresses(&glue), ["127.0.0.12".parse::<IpAddr>().unwrap()]);
}

#[test]
fn configured_name_servers_are_listed_with_glue_for_those_in_the_zone() {
    let mut config = config();
    config.settings.name_servers = vec!["ns1.dns.regionmesh.test".into(), "ns.example.org".into()];

    let zone = Zone::compile(&config, None).unwrap();
    let servers = ask(&zone, "regionmesh.test.", RecordType::NS, 0);
    assert_eq!((servers.answers.len(), servers.additionals.len()), (2, 3));
    is_negative(
        &ask(&zone, "dns.regionmesh.test.", RecordType::A, 0),
        ResponseCode::NoError,
    );
}

#[test]
fn the_plan_is_published_as_txt() {
    let zone = Zone::compile(&config(), Some(&three(12, [1, 1, 1]))).unwrap();
    let answer = ask(&zone, "_plan.regionmesh.test.", RecordType::TXT, 0);
    let text = answer.answers[0].data.to_string();

    assert!(
        text.contains("seq=12") && text.contains("ballot=7") && answer.answers[0].ttl == 0,
        "{text}"
    );
}

#[test]
fn missing_names_and_types_are_denied_with_the_soa() {
    let zone = Zone::compile(&config(), None).unwrap();
    is_negative(
        &ask(&zone, "nothing.regionmesh.test.", RecordType::A, 0),
        ResponseCode::NXDomain,
    );

    is_negative(
        &ask(&zone, "nowhere.serving.regionmesh.test.", RecordType::A, 0),
        ResponseCode::NXDomain,
    );

    for (text, kind) in [
        ("serving", RecordType::MX),
        ("_plan", RecordType::A),
        ("ns-eu-west-1", RecordType::AAAA),
    ] {
        is_negative(
            &ask(&zone, &format!("{text}.regionmesh.test."), kind, 0),
            ResponseCode::NoError,
        );
    }
}

#[test]
fn names_outside_the_zone_are_refused() {
    let zone = Zone::compile(&config(), None).unwrap();
    let mut chaos = query("regionmesh.test.", RecordType::TXT);
    chaos.queries[0].set_query_class(DNSClass::CH);

    let elsewhere = [
        query("example.org.", RecordType::A),
        query("test.", RecordType::NS),
        query(".", RecordType::NS),
    ];
    let transfers = [
        query("regionmesh.test.", RecordType::AXFR),
        query("regionmesh.test.", RecordType::IXFR),
    ];

    for query in elsewhere.iter().chain(&transfers).chain([&chaos]) {
        let answer = zone.answer(query, CLIENT, 0).message;
        assert_eq!(
            answer.metadata.response_code,
            ResponseCode::Refused,
            "{query}"
        );

        assert!(!answer.metadata.authoritative && answer.answers.is_empty());
    }
}

#[test]
fn any_gets_one_small_record() {
    let zone = Zone::compile(&config(), None).unwrap();
    let answer = ask(&zone, "serving.regionmesh.test.", RecordType::ANY, 0);
    assert!(matches!(&answer.answers[..], [record] if record.record_type() == RecordType::HINFO));
}

#[test]
fn edns_queries_get_edns_answers_and_other_versions_are_refused() {
    let zone = Zone::compile(&config(), None).unwrap();
    let mut asked = query("serving.regionmesh.test.", RecordType::A);
    assert!(zone.answer(&asked, CLIENT, 0).message.edns.is_none());

    let mut edns = Edns::new();
    edns.set_max_payload(4_096).set_dnssec_ok(true);
    edns.options_mut()
        .insert(hickory_proto::rr::rdata::opt::EdnsOption::Unknown(
            3,
            Vec::new(),
        ));

    asked.set_edns(edns);
    let packet = respond(&zone, &asked.to_vec().unwrap(), CLIENT, Transport::Udp, 0)
        .unwrap()
        .packet;
    let edns = Message::from_vec(&packet).unwrap().edns.unwrap();

    assert_eq!(
        (edns.max_payload(), edns.version(), edns.flags().dnssec_ok),
        (UDP_PAYLOAD, 0, true)
    );

    assert!(
        edns.option(EdnsCode::NSID).is_some(),
        "the server identifies itself on request"
    );

    asked.edns.as_mut().unwrap().set_version(1);
    let packet = respond(&zone, &asked.to_vec().unwrap(), CLIENT, Transport::Udp, 0)
        .unwrap()
        .packet;
    let answer = Message::from_vec(&packet).unwrap();

    // 16 is BADVERS here and BADSIG with TSIG (RFC 6895 §2.3); the library reads it as the latter.
    assert_eq!(u16::from(answer.metadata.response_code), 16);
    assert_eq!(answer.edns.unwrap().version(), 0);
}

#[test]
fn unsupported_and_malformed_queries_get_the_matching_error_code() {
    let zone = Zone::compile(&config(), None).unwrap();
    let code =
        |packet: &[u8]| respond(&zone, packet, CLIENT, Transport::Udp, 0).map(|reply| reply.code);
    let good = query("serving.regionmesh.test.", RecordType::A);

    for op_code in [
        OpCode::Status,
        OpCode::Notify,
        OpCode::Update,
        OpCode::Unknown(9),
    ] {
        let mut other = good.clone();
        other.metadata.op_code = op_code;
        assert_eq!(code(&other.to_vec().unwrap()), Some(ResponseCode::NotImp));
    }

    let mut two = good.clone();
    two.add_query(good.queries[0].clone());
    assert_eq!(code(&two.to_vec().unwrap()), Some(ResponseCode::FormErr));

    let packet = good.to_vec().unwrap();
    assert_eq!(
        code(&packet[..packet.len() - 1]),
        Some(ResponseCode::FormErr)
    );

    assert_eq!(code(&packet[..11]), None, "too short to be a message");
    let mut response = good;
    response.metadata.message_type = MessageType::Response;
    assert_eq!(
        code(&response.to_vec().unwrap()),
        None,
        "a response is never answered"
    );
}

#[test]
fn an_answer_too_long_for_udp_is_truncated_and_complete_over_tcp() {
    let many: Vec<String> = (0..100).map(|n| format!("10.0.1.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let plan = plan(1, &[("a", 1, &many)]);
    let zone = Zone::compile(&config_for(&plan), Some(&plan)).unwrap();
    let packet = packet("serving.regionmesh.test.", RecordType::A);
    let answer = |transport| {
        Message::from_vec(
            &respond(&zone, &packet, CLIENT, transport, 0)
                .unwrap()
                .packet,
        )
        .unwrap()
    };

    let cut = answer(Transport::Udp);
    assert!(cut.metadata.truncation && cut.answers.is_empty() && cut.queries.len() == 1);

    let whole = answer(Transport::Tcp);
    assert!(!whole.metadata.truncation && whole.answers.len() == 100);
}

#[test]
fn a_name_too_long_for_dns_is_reported_in_the_error() {
    let mut config = config();
    config.settings.zone = ["a"; 125].join(".");
    assert!(matches!(
        Zone::compile(&config, None),
        Err(crate::DnsError::Name { .. })
    ));
}
