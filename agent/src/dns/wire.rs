//! From a packet to the packet that answers it: what may be parsed, and how an answer is made to fit. Pure.

use super::{answer::UDP_PAYLOAD, zone::Zone};
use hickory_proto::op::{Message, OpCode, ResponseCode};
use regionmesh_protocol::identity::RegionName;
use std::net::IpAddr;

/// Largest query that is read, bytes. A query is one name and perhaps a few options.
pub const QUERY_LIMIT: usize = 4_096;
/// Length of a DNS header, bytes (RFC 1035 §4.1.1).
const HEADER: usize = 12;

/// How a query came in, which decides how long its answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// 512 bytes without EDNS, else what both sides take.
    Udp,
    /// 65,535 bytes.
    Tcp,
}

impl Transport {
    /// For metric labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

/// A packet to send back, and what it says.
#[derive(Debug)]
pub struct Reply<'zone> {
    /// The packet.
    pub packet: Vec<u8>,
    /// Its response code.
    pub code: ResponseCode,
    /// The region whose addresses it gives for `serving`, if one.
    pub region: Option<&'zone RegionName>,
}

/// Answers a packet from `source`. None: not a query (too short, or itself a response), which must not be answered, lest two
/// servers answer each other for ever.
pub fn respond<'zone>(
    zone: &'zone Zone,
    packet: &[u8],
    source: IpAddr,
    transport: Transport,
    random: u32,
) -> Option<Reply<'zone>> {
    let header: &[u8; HEADER] = packet.first_chunk()?;
    let is_response = header[2] & 0x80 != 0;
    if is_response {
        return None;
    }
    let op_code = OpCode::from_u8((header[2] >> 3) & 0x0f);
    let questions = u16::from_be_bytes([header[4], header[5]]);
    let bare = |code| Some(Reply { packet: bare(header, code), code, region: None });
    let unreadable = if op_code == OpCode::Query { ResponseCode::FormErr } else { ResponseCode::NotImp };
    // Looked at before parsing, since the parser reserves memory for as many questions as the header claims.
    if questions != 1 || packet.len() > QUERY_LIMIT {
        return bare(unreadable);
    }
    let Ok(query) = Message::from_vec(packet) else { return bare(unreadable) };
    let answer = zone.answer(&query, source, random);
    let limit = match transport {
        Transport::Udp => usize::from(query.max_payload().min(UDP_PAYLOAD)),
        Transport::Tcp => usize::from(u16::MAX),
    };
    let code = answer.message.metadata.response_code;
    match encode(answer.message, limit) {
        Some(packet) => Some(Reply { packet, code, region: answer.region }),
        None => bare(ResponseCode::ServFail),
    }
}

/// Encodes within `limit`: without glue if that is too long (RFC 2181 §9), else with nothing but the question and TC.
fn encode(mut message: Message, limit: usize) -> Option<Vec<u8>> {
    let fits = |message: &Message| message.to_vec().ok().filter(|packet| packet.len() <= limit);
    if let Some(packet) = fits(&message) {
        return Some(packet);
    }
    message.additionals.clear();
    fits(&message).or_else(|| fits(&message.truncate()))
}

/// A header alone: the identifier, operation and RD of the query, and the code (RFC 1035 §4.1.1).
fn bare(query: &[u8; HEADER], code: ResponseCode) -> Vec<u8> {
    let mut header = [0; HEADER];
    header[..2].copy_from_slice(&query[..2]);
    let kept = query[2] & 0b0111_1001;
    let response = 0x80;
    header[2] = response | kept;
    header[3] = code.low();
    header.to_vec()
}
