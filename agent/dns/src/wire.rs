//! Answers query packets: which are parsed, and how answers are truncated to fit. Pure.
//!
//! There are two paths to an answer: [`crate::fast`] for the most frequent question, and the
//! general one here, which parses with hickory-proto and answers every question. Where the fast
//! path answers, both give the same bytes.

pub(crate) mod format;
pub(crate) mod reply;

use crate::{
    answer::Answer,
    cookies::{self, BadCookie, Proof},
    fast,
    zone::Zone,
};
use format::{COOKIE_CODE, HEADER};
use hickory_proto::{
    op::{Message, OpCode, ResponseCode},
    rr::rdata::opt::{EdnsCode, EdnsOption},
};
use reply::{Kind, QueryContext, Reply};

/// Largest query that is read, bytes. A query is one name and perhaps a few options.
pub const QUERY_LIMIT: usize = 4_096;

/// Answers a packet into `out`, which is emptied first. None: not a query (too short, or itself a
/// response), which must not be answered, so that two servers can't answer each other forever.
pub fn respond<'zone>(
    zone: &'zone Zone,
    packet: &[u8],
    context: &QueryContext<'_>,
    out: &mut Vec<u8>,
) -> Option<Reply<'zone>> {
    if let Some(reply) = fast::respond(zone, packet, context, out) {
        return Some(reply);
    }
    respond_generally(zone, packet, context, out)
}

/// The general path: parsed, answered and encoded by hickory-proto.
pub fn respond_generally<'zone>(
    zone: &'zone Zone,
    packet: &[u8],
    context: &QueryContext<'_>,
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

    // Checked before parsing, since the parser reserves memory for as many questions as the header
    // claims.
    if questions > 1 || packet.len() > QUERY_LIMIT {
        return Some(bare(header, unreadable, out));
    }

    let Ok(query) = Message::from_vec(packet) else {
        return Some(bare(header, unreadable, out));
    };
    let cookie = query
        .edns
        .as_ref()
        .and_then(|edns| check_cookie(edns.option(EdnsCode::Cookie), context));

    // Without a question only a client that wants a cookie is answered (RFC 7873 §5.4).
    let is_for_cookie = op_code == OpCode::Query && matches!(cookie, Some(Ok(_)));
    if questions == 0 && !is_for_cookie {
        return Some(bare(header, unreadable, out));
    }

    let mut answer = zone.answer(&query, context.source, context.random);
    let (proof, option) = apply_cookie(&mut answer, cookie, questions);
    let message = &answer.message;
    let code = message.metadata.response_code;
    let kind = match code {
        ResponseCode::NoError if message.answers.is_empty() => Kind::Empty,
        ResponseCode::NoError => Kind::Positive,
        ResponseCode::NXDomain => Kind::NoName,
        _ => Kind::Error,
    };
    let edns = message.edns.as_ref().map(|edns| edns.flags().dnssec_ok);

    match encode(answer.message, context.limit(query.max_payload())) {
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

fn check_cookie(option: Option<&EdnsOption>, context: &QueryContext<'_>) -> Option<Checked> {
    let (EdnsOption::Unknown(_, option), Some(secrets)) = (option?, context.secrets) else {
        return None;
    };
    Some(secrets.check(option, context.source, context.now_s))
}

/// Checks a query's cookie. Returns what it proves, and the cookie to send.
fn apply_cookie(
    answer: &mut Answer<'_>,
    cookie: Option<Checked>,
    questions: u16,
) -> (Proof, Option<[u8; cookies::LENGTH]>) {
    let message = &mut answer.message;
    match cookie {
        Some(Ok((proof, ours))) => {
            if let Some(edns) = &mut message.edns {
                edns.options_mut()
                    .insert(EdnsOption::Unknown(COOKIE_CODE, ours.to_vec()));
            }

            if questions == 0 && message.metadata.response_code == ResponseCode::FormErr {
                message.metadata.response_code = ResponseCode::NoError;
            }
            (proof, Some(ours))
        }
        Some(Err(BadCookie)) => {
            message.answers.clear();
            message.authorities.clear();
            message.additionals.clear();
            message.metadata.authoritative = false;
            message.metadata.response_code = ResponseCode::FormErr;
            answer.region = None;
            (Proof::None, None)
        }
        None => (Proof::None, None),
    }
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

    let flags = query[2] & 0b0111_1001;
    let response = 0x80;
    header[2] = response | flags;
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
