//! A query's context, and the reply.

use super::format::{HEADER, UDP_PAYLOAD, put_cookie, put_opt};
use crate::{
    cookies::{self, Proof, Secrets},
    zone::region::ZoneRegion,
};
use hickory_proto::op::ResponseCode;
use std::net::IpAddr;

/// The transport of a query, which limits the length of its answer.
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

/// The client, and what an answer depends on apart from the zone and the packet.
#[derive(Debug, Clone, Copy)]
pub struct QueryContext<'a> {
    /// The packet's sender, as the network has it.
    pub source: IpAddr,
    pub transport: Transport,
    /// Draws the region of a `serving` answer.
    pub random: u32,
    /// Seconds since 1970, modulo 2^32.
    pub now_s: u32,
    /// Creates and checks cookies; without secrets, answers carry none.
    pub secrets: Option<&'a Secrets>,
}

impl QueryContext<'_> {
    /// Longest answer, bytes, for a client that takes `payload`.
    pub(crate) fn limit(&self, payload: u16) -> usize {
        match self.transport {
            Transport::Udp => usize::from(payload.clamp(512, UDP_PAYLOAD)),
            Transport::Tcp => usize::from(u16::MAX),
        }
    }
}

/// The kinds of answer that are limited separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The answer has records.
    Positive,
    /// The name exists, but has no records of the type.
    Empty,
    /// The name does not exist.
    NoName,
    /// Any other code.
    Error,
}

/// A summary of an answer packet.
#[derive(Debug)]
pub struct Reply<'zone> {
    /// Its response code.
    pub code: ResponseCode,
    pub(crate) kind: Kind,
    /// The region whose addresses it has for `serving`, if it is one region's.
    pub(crate) region: Option<&'zone ZoneRegion>,
    /// What the client's cookie proves.
    pub(crate) proof: Proof,
    /// The cookie that it carries.
    pub(crate) cookie: Option<[u8; cookies::LENGTH]>,
    /// Its OPT record, if any, with the DO bit.
    pub(crate) edns: Option<bool>,
}

impl Reply<'_> {
    /// Removes the records from this answer, `packet`, so that a real client retries, with the
    /// cookie that it carries (BADCOOKIE, RFC 7873 §5.2.3) or else over TCP (TC). Barely longer
    /// than the query.
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

/// The end of the question in one of our answers: its name is not compressed.
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
