//! The server against abuse: limits, cookies, truncated answers, and ports in use.

use super::*;
use crate::{cookies::Secrets, wire::reply::Kind};
use hickory_proto::rr::rdata::opt::EdnsOption;

/// A server that also limits loopback clients.
async fn limited(adjust: impl FnOnce(&mut Config)) -> Running {
    let mut config = config();
    config.settings.workers = 2;
    config.settings.rate_limit.exempt.clear();
    adjust(&mut config);
    running_with(config, Some(three(1, [1, 1, 1]))).await
}

fn with_cookie(name: &str, kind: RecordType, cookie: &[u8]) -> Vec<u8> {
    message_with_cookie(name, kind, cookie).to_vec().unwrap()
}

fn message_with_cookie(name: &str, kind: RecordType, cookie: &[u8]) -> Message {
    let mut message = query(name, kind);
    let mut edns = Edns::new();
    edns.options_mut()
        .insert(EdnsOption::Unknown(10, cookie.to_vec()));
    message.set_edns(edns);
    message
}

fn cookie_of(message: &Message) -> Option<Vec<u8>> {
    match message.edns.as_ref()?.option(EdnsCode::Cookie)? {
        EdnsOption::Unknown(_, cookie) => Some(cookie.clone()),
        _ => None,
    }
}

fn code(message: &Message) -> u16 {
    message.metadata.response_code.into()
}

/// Sends `count` queries at once; returns the answers until none arrives for half a second.
async fn flood(server: SocketAddr, packet: &[u8], count: usize) -> Vec<Message> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..count {
        socket.send_to(packet, server).await.unwrap();
    }

    let mut answers = Vec::new();
    let mut buffer = [0; 4_096];
    while let Ok(received) =
        timeout(Duration::from_millis(500), socket.recv_from(&mut buffer)).await
    {
        answers.push(Message::from_vec(&buffer[..received.unwrap().0]).unwrap());
    }

    answers
}

#[tokio::test]
async fn beyond_the_limit_every_second_answer_is_truncated_and_tcp_is_not_limited() {
    let server = limited(|_| {}).await;
    let packet = packet("serving.regionmesh.test.", RecordType::A);
    let answers = flood(server.address, &packet, 200).await;
    let (cut, whole): (Vec<_>, Vec<_>) = answers
        .iter()
        .partition(|answer| answer.metadata.truncation);

    // A few more than 20 where the machine is slow: the limit is by time.
    assert!(
        (20..40).contains(&whole.len()),
        "{} whole answers",
        whole.len()
    );

    assert!((80..=90).contains(&cut.len()), "{} cut answers", cut.len());
    assert!(
        cut.iter().all(|answer| answer.answers.is_empty()
            && answer.queries.len() == 1
            && code(answer) == 0)
    );

    let limited = |action| server.metrics.limited.with_label_values(&[action]).get();
    assert_eq!(limited("cut"), cut.len() as u64);
    assert_eq!(limited("dropped"), 200 - answers.len() as u64);

    let mut stream = TcpStream::connect(server.address).await.unwrap();
    for _ in 0..50 {
        stream
            .write_all(&[&[0, packet.len() as u8][..], &packet].concat())
            .await
            .unwrap();

        let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(
            addresses(&Message::from_vec(&answer).unwrap()).len(),
            1,
            "TCP is not limited"
        );
    }
}

#[tokio::test]
async fn a_client_with_a_valid_cookie_is_not_limited_and_others_get_one() {
    let server = limited(|_| {}).await;
    let asked = with_cookie("serving.regionmesh.test.", RecordType::A, &[1; 8]);
    let answers = flood(server.address, &asked, 200).await;
    let (bad, whole): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| code(answer) == 23);

    assert!(
        (20..40).contains(&whole.len()) && bad.len() > 70,
        "{} {}",
        whole.len(),
        bad.len()
    );

    assert!(
        bad.iter()
            .all(|answer| answer.answers.is_empty() && !answer.metadata.truncation)
    );

    // The cookie of a BADCOOKIE answer is valid.
    let cookie = cookie_of(bad[0]).unwrap();
    let returned = with_cookie("serving.regionmesh.test.", RecordType::A, &cookie);
    let answers = flood(server.address, &returned, 100).await;

    assert_eq!(
        answers
            .iter()
            .filter(|answer| addresses(answer).len() == 1)
            .count(),
        100
    );

    assert_eq!(
        cookie_of(&answers[0]).unwrap(),
        cookie,
        "a young cookie stays"
    );

    assert_eq!(
        server.metrics.cookies.with_label_values(&["proven"]).get(),
        100
    );

    let short = with_cookie("serving.regionmesh.test.", RecordType::A, &[1; 9]);
    assert_eq!(
        code(&ask_udp(server.address, &short).await.unwrap()),
        1,
        "a length that no cookie has"
    );

    let mut none = message_with_cookie("regionmesh.test.", RecordType::A, &[1; 8]);
    none.queries.clear();

    let answer = ask_udp(server.address, &none.to_vec().unwrap())
        .await
        .unwrap();
    assert!(
        code(&answer) == 0 && cookie_of(&answer).is_some(),
        "a cookie may be requested without a question"
    );
}

#[tokio::test]
async fn agents_sharing_a_secret_file_accept_each_others_cookies() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "00112233445566778899aabbccddeeff\n").unwrap();

    let path = file.path().to_owned();
    let one = limited(|config| config.settings.cookies.secret_file = Some(path.clone())).await;
    let other = limited(|config| config.settings.cookies.secret_file = Some(path.clone())).await;
    let asked = with_cookie("serving.regionmesh.test.", RecordType::A, &[1; 8]);
    let cookie = cookie_of(&ask_udp(one.address, &asked).await.unwrap()).unwrap();
    let returned = with_cookie("serving.regionmesh.test.", RecordType::A, &cookie);

    ask_udp(other.address, &returned).await.unwrap();
    assert_eq!(
        other.metrics.cookies.with_label_values(&["proven"]).get(),
        1
    );

    std::fs::write(file.path(), "0011\n").unwrap();
    let mut config = config();
    config.settings.cookies.secret_file = Some(path.clone());

    let error = refusal_to_start(config).await;
    assert!(
        error.contains("line 1 is not 32") && error.contains(&path.display().to_string()),
        "{error}"
    );
}

#[tokio::test]
async fn with_cookies_and_limits_off_every_query_is_answered_without_a_cookie() {
    let server = limited(|config| {
        config.settings.cookies.enabled = false;
        config.settings.rate_limit.responses_per_second = 0;
    })
    .await;
    let asked = with_cookie("serving.regionmesh.test.", RecordType::A, &[1; 8]);
    let answers = flood(server.address, &asked, 100).await;

    assert_eq!(
        answers
            .iter()
            .filter(|answer| addresses(answer).len() == 1)
            .count(),
        100
    );

    assert!(answers.iter().all(|answer| cookie_of(answer).is_none()));
}

#[tokio::test]
async fn every_worker_answers_and_all_stop_promptly_with_the_server() {
    let (_plans, plan) = watch::channel(None);
    let metrics = DnsMetrics::new(&regionmesh_runtime::metrics::Registry::new()).unwrap();
    let mut config = config();

    config.settings.workers = 8;
    let server = DnsServer::bind(DnsArguments {
        config: Arc::new(config),
        plan,
        board: no_board(),
        metrics,
    })
    .await
    .unwrap();

    let address = server.local_addr();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.serve(stop.clone()));

    // The kernel spreads clients by their ports: with this many, each worker gets some.
    let packet = packet("serving.regionmesh.test.", RecordType::A);
    for _ in 0..100 {
        assert!(ask_udp(address, &packet).await.is_some());
    }
    stop.cancel();
    timeout(Duration::from_millis(900), serving)
        .await
        .expect("immediately, not at the next poll")
        .unwrap()
        .unwrap();

    assert!(
        UdpSocket::bind(address).await.is_ok(),
        "the port is free again"
    );
}

#[tokio::test]
async fn a_port_with_so_reuseport_is_reported_as_in_use() {
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    other.set_reuse_port(true).unwrap();
    other
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();

    let mut config = config();
    config.listen = other.local_addr().unwrap().as_socket().unwrap();

    let error = refusal_to_start(config).await;
    assert!(error.contains("stop what listens there"), "{error}");
}

proptest! {
    #[test]
    fn a_truncated_answer_parses_and_is_barely_longer_than_its_query(
        kind: u16,
        has_edns: bool,
        cookie in proptest::option::of(8usize..9),
        random: u32,
        name in prop_oneof![Just("serving"), Just("a.b"), Just("_plan"), Just("ns-eu-west-1")],
    ) {
        let mut message = query(&format!("{name}.regionmesh.test."), RecordType::from(kind));
        if let Some(length) = cookie {
            message = message_with_cookie(
                &format!("{name}.regionmesh.test."),
                RecordType::from(kind),
                &vec![1; length],
            );
        } else if has_edns {
            message.set_edns(Edns::new());
        }

        let packet = message.to_vec().unwrap();
        let secrets = Secrets::new([1; 16]);
        let context = QueryContext {
            secrets: Some(&secrets),
            ..context(CLIENT, Transport::Udp, random)
        };
        let mut out = Vec::new();
        let zone = zone_with(&[1, 2]);
        let mut reply = answer_into(&zone, &packet, &context, &mut out).unwrap();

        reply.cut(&mut out);
        let cut = Message::from_vec(&out).unwrap();
        prop_assert_eq!(cut.metadata.id, 4711);
        prop_assert!(
            cut.answers.is_empty() && cut.authorities.is_empty() && cut.additionals.is_empty()
        );
        prop_assert_eq!(&cut.queries, &message.queries);
        prop_assert_eq!(cut.edns.is_some(), message.edns.is_some());

        // A client cookie gets a server cookie of 16 bytes.
        let allowed = packet.len() + if cookie.is_some() { 16 } else { 0 };
        prop_assert!(out.len() <= allowed);
        prop_assert_eq!(cut.metadata.truncation, cookie.is_none());
        prop_assert_eq!(code(&cut) == 23, cookie.is_some());
    }
}

#[test]
fn control_characters_in_a_txt_reason_are_escaped() {
    let mut plan = three(1, [1, 1, 1]);
    plan.plan.reason = "ordered\nforged \u{1b}[31m\u{202e}".into();

    let zone = Zone::compile(&config(), Some(&plan)).unwrap();
    let packet = packet("_plan.regionmesh.test.", RecordType::TXT);
    let mut out = Vec::new();

    answer_into(
        &zone,
        &packet,
        &context(CLIENT, Transport::Tcp, 0),
        &mut out,
    )
    .unwrap();
    let sent = String::from_utf8_lossy(&out);
    assert!(
        sent.contains("reason=ordered\\nforged \\u{1b}[31m\\u{202e}"),
        "{sent:?}"
    );
}

#[test]
fn each_kind_of_answer_has_its_own_limit() {
    let zone = Zone::compile(&config(), None).unwrap();
    let kind = |name, kind| {
        let packet = query(name, kind).to_vec().unwrap();
        answer_into(
            &zone,
            &packet,
            &context(CLIENT, Transport::Udp, 0),
            &mut Vec::new(),
        )
        .unwrap()
        .kind
    };

    assert_eq!(
        kind("serving.regionmesh.test.", RecordType::A),
        Kind::Positive
    );

    assert_eq!(
        kind("serving.regionmesh.test.", RecordType::MX),
        Kind::Empty
    );

    assert_eq!(
        kind("nothing.regionmesh.test.", RecordType::A),
        Kind::NoName
    );

    assert_eq!(kind("example.org.", RecordType::A), Kind::Error);
}
