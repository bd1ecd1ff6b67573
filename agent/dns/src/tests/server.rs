//! The server over real sockets.

use super::*;

#[tokio::test]
async fn a_newer_plan_replaces_the_answers_and_an_older_one_does_not() {
    let server = running(Some(three(5, [1, 0, 0]))).await;
    let packet = packet("serving.regionmesh.test.", RecordType::A);
    let now = async || addresses(&ask_udp(server.address, &packet).await.unwrap())[0].to_string();

    assert_eq!(now().await, "127.0.0.11");
    server
        .plans
        .send_replace(Some(Arc::new(three(6, [0, 1, 0]))));
    until("the new plan is answered", async || {
        now().await == "127.0.0.12"
    })
    .await;

    assert_eq!(server.metrics.plan_seq.get(), 6);
    server
        .plans
        .send_replace(Some(Arc::new(three(4, [0, 0, 1]))));
    until("the older plan is refused", async || {
        server
            .metrics
            .refused_plans
            .with_label_values(&["older"])
            .get()
            == 1
    })
    .await;

    server.plans.send_replace(None);
    for _ in 0..20 {
        assert_eq!(now().await, "127.0.0.12");
    }

    // The sender is dropped: the last plan stays.
    drop(server.plans);

    assert_eq!(
        addresses(&ask_udp(server.address, &packet).await.unwrap())[0].to_string(),
        "127.0.0.12"
    );

    assert!(
        server
            .metrics
            .answers
            .with_label_values(&["eu-west-1"])
            .get()
            > 20
    );
}

#[tokio::test]
async fn garbage_does_not_stop_the_answers() {
    let server = running(None).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for length in 0..400usize {
        let garbage: Vec<u8> = (0..length).map(|_| rand::random()).collect();
        socket.send_to(&garbage, server.address).await.unwrap();
        if length % 40 == 0 {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            let _ = stream.write_all(&garbage).await;
        }
    }

    let packet = packet("serving.regionmesh.test.", RecordType::A);
    until("an answer", async || {
        ask_udp(server.address, &packet).await.is_some()
    })
    .await;
}

#[tokio::test]
async fn tcp_answers_several_queries_and_allows_eight_connections_per_client() {
    let server = running(None).await;
    let packet = packet("serving.regionmesh.test.", RecordType::A);
    let framed = [
        &u16::try_from(packet.len()).unwrap().to_be_bytes()[..],
        &packet,
    ]
    .concat();

    let ask = async |stream: &mut TcpStream| {
        stream.write_all(&framed).await?;
        let length = stream.read_u16().await?;
        let mut answer = vec![0; usize::from(length)];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok(Message::from_vec(&answer).unwrap())
    };
    let mut open = Vec::new();

    for _ in 0..8 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        for _ in 0..2 {
            assert_eq!(addresses(&ask(&mut stream).await.unwrap()).len(), 1);
        }
        open.push(stream);
    }

    assert!(ask(&mut open[0]).await.is_ok());
    let mut ninth = TcpStream::connect(server.address).await.unwrap();
    assert!(ask(&mut ninth).await.is_ok(), "the ninth is answered");
    assert!(
        ask(&mut open[1]).await.is_err(),
        "the longest idle one is displaced"
    );

    assert!(ask(&mut open[0]).await.is_ok());
    let count = |reason| {
        server
            .metrics
            .dropped
            .with_label_values(&["tcp", reason])
            .get()
    };

    assert_eq!((count("too_many_of_one_client"), count("too_many")), (1, 0));
}

#[tokio::test]
async fn a_port_in_use_is_reported_with_a_remedy() {
    let server = running(None).await;
    let mut config = config();
    config.listen = server.address;

    let error = refusal_to_start(config).await;
    assert!(
        error.contains(&server.address.to_string()) && error.contains("stop what listens there"),
        "{error}"
    );
}
