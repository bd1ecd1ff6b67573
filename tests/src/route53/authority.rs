//! The zone's name server: answers over UDP what is in sync, by routing policy and health.

use super::{answers::answers, state::State};
use hickory_proto::{
    op::{Message, MessageType, OpCode, ResponseCode},
    rr::{
        RData, Record, RecordType,
        rdata::{A, AAAA, TXT},
    },
};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::net::UdpSocket;

/// Serves until its task is aborted.
pub(super) async fn serve(socket: UdpSocket, state: Arc<Mutex<State>>) {
    let mut buffer = [0; 1_500];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let Ok(question) = Message::from_vec(&buffer[..length]) else {
            continue;
        };
        let reply = answer(&question, &state);
        let Ok(bytes) = reply.to_vec() else { continue };
        let _ = socket.send_to(&bytes, from).await;
    }
}

fn answer(question: &Message, state: &Mutex<State>) -> Message {
    let mut reply = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata.authoritative = true;

    let Some(query) = question.queries.first() else {
        return reply;
    };
    reply.add_query(query.clone());

    let name = query.name().to_ascii().to_ascii_lowercase();
    let record_type = query.query_type();
    let state = state.lock();
    let sets = state.visible();
    let possible = answers(sets, &name, &record_type.to_string(), |check| {
        state.is_healthy(check)
    });
    let total: u32 = possible.iter().map(|answer| answer.weight).sum();

    if total == 0 {
        if !sets.iter().any(|set| set.name == name) {
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
        return reply;
    }

    let mut point = rand::random_range(0..total);
    for answer in possible {
        if point < answer.weight {
            let data = answer
                .values
                .iter()
                .filter_map(|value| data(record_type, value));

            reply
                .answers
                .extend(data.map(|data| Record::from_rdata(query.name().clone(), 5, data)));
            break;
        }

        point -= answer.weight;
    }

    reply
}

fn data(record_type: RecordType, value: &str) -> Option<RData> {
    match record_type {
        RecordType::A => Some(RData::A(A(value.parse().ok()?))),
        RecordType::AAAA => Some(RData::AAAA(AAAA(value.parse().ok()?))),
        RecordType::TXT => Some(RData::TXT(TXT::new(vec![
            value.trim_matches('"').to_owned(),
        ]))),
        _ => None,
    }
}
