//! From a packet to the packet that answers it: what may be parsed, and how an answer is made to
//! fit. Pure.
//!
//! Two ways lead to an answer: [`fast`](super::fast) for the one question that nearly everybody
//! asks, and the general one here, which parses with hickory-proto and answers every question.
//! Where the fast one answers at all, both give the same bytes.

use super::{
    answer::UDP_PAYLOAD,
    cookies::{self, BadCookie, Proof, Secrets},
    fast,
    zone::{Zone, ZoneRegion},
};
use hickory_proto::{
    op::{Message, OpCode, ResponseCode},
    rr::rdata::opt::{EdnsCode, EdnsOption},
};
use std::net::IpAddr;

/// Largest query that is read, bytes. A query is one name and perhaps a few options.
pub const QUERY_LIMIT: usize = 4_096;
/// Length of a DNS header, bytes (RFC 1035 §4.1.1).
pub(super) const HEADER: usize = 12;
/// Length of an OPT record without options, bytes (RFC 6891 §6.1.2).
pub(super) const OPT: usize = 11;
/// Type of the OPT record.
pub(super) const OPT_TYPE: u16 = 41;
/// Code of the COOKIE option.
pub(super) const COOKIE_CODE: u16 = 10;

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
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        }
    }
}

/// Who asks, and what an answer depends on beside the zone and the packet.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The packet's sender, as the network has it.
    pub source: IpAddr,
    /// How it came in.
    pub transport: Transport,
    /// Draws the region of a `serving` answer.
    pub random: u32,
    /// Seconds since 1970, modulo 2^32.
    pub now_s: u32,
    /// Makes and checks cookies; without secrets none is answered.
    pub secrets: Option<&'a Secrets>,
}

impl Asker<'_> {
    /// Longest answer, bytes, for a client that takes `payload`.
    pub(super) fn limit(&self, payload: u16) -> usize {
        match self.transport {
            Transport::Udp => usize::from(payload.clamp(512, UDP_PAYLOAD)),
            Transport::Tcp => usize::from(u16::MAX),
        }
    }
}

/// The kinds of answer that are limited apart from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Records.
    Positive,
    /// The name is there, records of the type are not.
    Empty,
    /// There is no such name.
    NoName,
    /// Any other code.
    Error,
}

/// What a packet to send back says.
#[derive(Debug)]
pub struct Reply<'zone> {
    /// Its response code.
    pub code: ResponseCode,
    /// Its kind.
    pub(crate) kind: Kind,
    /// The region whose addresses it gives for `serving`, if one.
    pub(crate) region: Option<&'zone ZoneRegion>,
    /// What the client's cookie proves.
    pub(crate) proof: Proof,
    /// The cookie that it carries.
    pub(crate) cookie: Option<[u8; cookies::LENGTH]>,
    /// Whether it has an OPT record, and with which DO.
    pub(crate) edns: Option<bool>,
}

/// Answers a packet into `out`, which is emptied first. None: not a query (too short, or itself a
/// response), which must not be answered, lest two servers answer each other for ever.
pub fn respond<'zone>(
    zone: &'zone Zone,
    packet: &[u8],
    asker: &Asker<'_>,
    out: &mut Vec<u8>,
) -> Option<Reply<'zone>> {
    if let Some(reply) = fast::respond(zone, packet, asker, out) {
        return Some(reply);
    }
    respond_generally(zone, packet, asker, out)
}

/// The general way: parsed, answered and encoded by hickory-proto.
pub fn respond_generally<'zone>(
    zone: &'zone Zone,
    packet: &[u8],
    asker: &Asker<'_>,
    out: &mut Vec<u8>,
) -> Option<Reply<'zone>> {
    out.clear();
    let header: &[u8; HEADER] = packet.first_chunk()?;
    let is_response = header[2] & 0x80 != 0;

    if is_response {
        return None;
    }

    let op_code = OpCode::from_u8((header[2] >> 3) & 0x0f);
    let questions = u16::from_be_bytes([header[4], header[5]]);
    let unreadable = if op_code == OpCode::Query {
        ResponseCode::FormErr
    } else {
        ResponseCode::NotImp
    };

    // Looked at before parsing, since the parser reserves memory for as many questions as the
    // header claims.
    if questions > 1 || packet.len() > QUERY_LIMIT {
        return Some(bare(header, unreadable, out));
    }

    let Ok(query) = Message::from_vec(packet) else {
        return Some(bare(header, unreadable, out));
    };
    let cookie = query
        .edns
        .as_ref()
        .and_then(|edns| check_cookie(edns.option(EdnsCode::Cookie), asker));

    // Without a question only a client that wants a cookie is answered (RFC 7873 §5.4).
    let is_for_cookie = op_code == OpCode::Query && matches!(cookie, Some(Ok(_)));
    if questions == 0 && !is_for_cookie {
        return Some(bare(header, unreadable, out));
    }

    let mut answer = zone.answer(&query, asker.source, asker.random);
    let message = &mut answer.message;
    let mut proof = Proof::None;
    let mut option = None;

    match cookie {
        Some(Ok((proven, ours))) => {
            (proof, option) = (proven, Some(ours));
            if let Some(edns) = &mut message.edns {
                edns.options_mut()
                    .insert(EdnsOption::Unknown(COOKIE_CODE, ours.to_vec()));
            }

            if questions == 0 && message.metadata.response_code == ResponseCode::FormErr {
                message.metadata.response_code = ResponseCode::NoError;
            }
        }
        Some(Err(BadCookie)) => {
            message.answers.clear();
            message.authorities.clear();
            message.additionals.clear();
            message.metadata.authoritative = false;
            message.metadata.response_code = ResponseCode::FormErr;
            answer.region = None;
        }
        None => {}
    }

    let code = message.metadata.response_code;
    let kind = match code {
        ResponseCode::NoError if message.answers.is_empty() => Kind::Empty,
        ResponseCode::NoError => Kind::Positive,
        ResponseCode::NXDomain => Kind::NoName,
        _ => Kind::Error,
    };
    let edns = message.edns.as_ref().map(|edns| edns.flags().dnssec_ok);

    match encode(answer.message, asker.limit(query.max_payload())) {
        Some(packet) => {
            out.extend_from_slice(&packet);
            Some(Reply {
                code,
                kind,
                region: answer.region,
                proof,
                cookie: option,
                edns,
            })
        }
        None => Some(bare(header, ResponseCode::ServFail, out)),
    }
}

type Checked = Result<(Proof, [u8; cookies::LENGTH]), BadCookie>;

fn check_cookie(option: Option<&EdnsOption>, asker: &Asker<'_>) -> Option<Checked> {
    let (EdnsOption::Unknown(_, option), Some(secrets)) = (option?, asker.secrets) else {
        return None;
    };
    Some(secrets.check(option, asker.source, asker.now_s))
}

/// Encodes within `limit`: without glue if that is too long (RFC 2181 §9), else with nothing but
/// the question and TC.
fn encode(mut message: Message, limit: usize) -> Option<Vec<u8>> {
    let fits = |message: &Message| message.to_vec().ok().filter(|packet| packet.len() <= limit);
    if let Some(packet) = fits(&message) {
        return Some(packet);
    }
    message.additionals.clear();
    fits(&message).or_else(|| fits(&message.truncate()))
}

/// A header alone: the identifier, operation and RD of the query, and the code (RFC 1035 §4.1.1).
fn bare<'zone>(query: &[u8; HEADER], code: ResponseCode, out: &mut Vec<u8>) -> Reply<'zone> {
    let mut header = [0; HEADER];
    header[..2].copy_from_slice(&query[..2]);

    let kept = query[2] & 0b0111_1001;
    let response = 0x80;
    header[2] = response | kept;
    header[3] = code.low();
    out.clear();
    out.extend_from_slice(&header);
    Reply {
        code,
        kind: Kind::Error,
        region: None,
        proof: Proof::None,
        cookie: None,
        edns: None,
    }
}

impl Reply<'_> {
    /// Takes the records out of this answer, `packet`: what is left asks an honest client to come
    /// back, with the cookie that it carries (BADCOOKIE, RFC 7873 §5.2.3) or else over TCP (TC).
    /// Hardly longer than the query.
    pub fn cut(&mut self, packet: &mut Vec<u8>) {
        const TRUNCATED: u8 = 0x02;

        let end = question_end(packet);
        packet.truncate(end);

        let Some(header) = packet.first_chunk_mut::<HEADER>() else {
            return;
        };
        header[6..].fill(0);
        self.region = None;

        let mut high = self.code.high();
        if self.cookie.is_some() {
            self.code = ResponseCode::BADCOOKIE;
            high = self.code.high();
            header[3] = header[3] & 0xf0 | self.code.low();
        } else {
            header[2] |= TRUNCATED;
        }

        let Some(dnssec_ok) = self.edns else { return };
        header[11] = 1;

        let options = usize::from(self.cookie.is_some()) * (4 + cookies::LENGTH);
        put_opt(packet, high, dnssec_ok, options);
        if let Some(cookie) = &self.cookie {
            put_cookie(packet, cookie);
        }
    }
}

/// Where the question of an answer of ours ends: no name in it is compressed.
fn question_end(packet: &[u8]) -> usize {
    let mut at = HEADER;
    if packet.get(5) != Some(&1) {
        return at.min(packet.len());
    }
    while let Some(length @ 1..) = packet.get(at) {
        at += 1 + usize::from(*length);
    }

    (at + 5).min(packet.len())
}

/// An OPT record up to its options, which follow and take `length` bytes.
pub(super) fn put_opt(out: &mut Vec<u8>, code_high: u8, dnssec_ok: bool, length: usize) {
    let [kind, payload] = [OPT_TYPE, UDP_PAYLOAD].map(u16::to_be_bytes);
    let length = u16::try_from(length).unwrap_or(0).to_be_bytes();
    let flags = if dnssec_ok { 0x80 } else { 0 };
    let version = 0;

    out.extend_from_slice(&[
        0, kind[0], kind[1], payload[0], payload[1], code_high, version, flags, 0, length[0],
        length[1],
    ]);
}

/// A COOKIE option.
pub(super) fn put_cookie(out: &mut Vec<u8>, cookie: &[u8; cookies::LENGTH]) {
    out.extend_from_slice(&COOKIE_CODE.to_be_bytes());
    out.extend_from_slice(&[0, cookies::LENGTH as u8]);
    out.extend_from_slice(cookie);
}
