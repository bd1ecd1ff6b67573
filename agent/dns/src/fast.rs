//! Fast path for the most frequent question, `serving` A or AAAA, without a parser: the question is
//! compared with the one expected, the records were encoded when the plan was committed, and only
//! the client's options are read.
//!
//! Anything unexpected (another name, an unknown option, a wrong length, an answer that is not one
//! region's) is left to the general path. A property test checks that both give the same bytes.
//! Pure.

pub(crate) mod encoded;

use crate::{
    cookies::{self, Proof},
    nearness::Client,
    wire::{
        format::{COOKIE_CODE, HEADER, OPT, OPT_TYPE, put_cookie, put_opt},
        reply::{Kind, QueryContext, Reply},
    },
    zone::{Zone, region::Family},
};
use hickory_proto::{op::ResponseCode, rr::rdata::opt::ClientSubnet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Code of the client subnet option.
const SUBNET_CODE: u16 = 8;
/// The expected question and its options.
struct Query<'a> {
    family: Family,
    /// The question, as it goes back.
    question: &'a [u8],
    recursion_desired: bool,
    edns: Option<Options<'a>>,
}

#[derive(Default)]
struct Options<'a> {
    payload: u16,
    dnssec_ok: bool,
    subnet: Option<ClientSubnet>,
    cookie: Option<&'a [u8]>,
}

/// Answers into `out`, which is emptied first. None if the general path must answer.
pub fn respond<'zone>(
    zone: &'zone Zone,
    packet: &[u8],
    context: &QueryContext<'_>,
    out: &mut Vec<u8>,
) -> Option<Reply<'zone>> {
    let query = Query::read(&zone.encoded.name, packet)?;
    let mut proof = Proof::None;
    let mut cookie = None;

    if let (Some(option), Some(secrets)) = (
        query.edns.as_ref().and_then(|edns| edns.cookie),
        context.secrets,
    ) {
        let (proven, ours) = secrets.check(option, context.source, context.now_s).ok()?;
        (proof, cookie) = (proven, Some(ours));
    }

    let subnet = query.edns.as_ref().and_then(|edns| edns.subnet);
    let client = Client::new(subnet, context.source).ok()?;
    let (index, region) = zone.choose(&client, query.family, context.random)?;
    let records = &zone.encoded.regions.get(index)?[usize::from(query.family == Family::V6)];
    let subnet_length = subnet.map(|subnet| usize::from(subnet.source_prefix()).div_ceil(8));
    let options =
        subnet_length.map_or(0, |length| 8 + length) + cookie.map_or(0, |_| 4 + cookies::LENGTH);
    let opt = query.edns.as_ref().map_or(0, |_| OPT + options);
    let payload = query.edns.as_ref().map_or(0, |edns| edns.payload);

    if HEADER + query.question.len() + records.bytes.len() + opt > context.limit(payload) {
        return None;
    }

    out.clear();
    let [count_high, count_low] = records.count.to_be_bytes();
    let response = 0x80;
    let authoritative = 0x04;
    let flags = response | authoritative | u8::from(query.recursion_desired);
    let additionals = u8::from(query.edns.is_some());

    out.extend_from_slice(&packet[..2]);
    out.extend_from_slice(&[flags, 0, 0, 1, count_high, count_low, 0, 0, 0, additionals]);
    out.extend_from_slice(query.question);
    out.extend_from_slice(&records.bytes);
    if let Some(edns) = &query.edns {
        put_opt(out, 0, edns.dnssec_ok, options);
        if let Some(subnet) = subnet {
            put_subnet(out, &subnet, client.scope(zone.tailoring()));
        }
        if let Some(cookie) = &cookie {
            put_cookie(out, cookie);
        }
    }

    let edns = query.edns.as_ref().map(|edns| edns.dnssec_ok);
    Some(Reply {
        code: ResponseCode::NoError,
        kind: Kind::Positive,
        region: Some(region),
        proof,
        cookie,
        edns,
    })
}

impl<'a> Query<'a> {
    fn read(name: &[u8], packet: &'a [u8]) -> Option<Self> {
        // Identifier, then: a query, no AA, no TC; RD, AD and CD as may be; one question, no
        // records, at most an OPT.
        let [
            _,
            _,
            flags,
            more,
            0,
            1,
            0,
            0,
            0,
            0,
            0,
            additionals @ 0..=1,
            rest @ ..,
        ] = packet
        else {
            return None;
        };

        if name.is_empty() || flags & !0x01 != 0 || more & !0x30 != 0 {
            return None;
        }

        // The lengths of labels are below 64, so none is taken for a letter.
        let (asked, rest) = rest.split_at_checked(name.len())?;
        let [0, kind @ (1 | 28), 0, 1, rest @ ..] = rest else {
            return None;
        };

        if !asked.eq_ignore_ascii_case(name) {
            return None;
        }

        let family = if *kind == 1 { Family::V4 } else { Family::V6 };
        let edns = match (additionals, rest) {
            (0, []) => None,
            (1, opt) => Some(Options::read(opt)?),
            _ => return None,
        };

        Some(Self {
            family,
            question: packet.get(HEADER..HEADER + name.len() + 4)?,
            recursion_desired: flags & 0x01 != 0,
            edns,
        })
    }
}

impl<'a> Options<'a> {
    /// An OPT record of version 0 that ends where the packet ends, with a client subnet and a
    /// cookie at most.
    fn read(opt: &'a [u8]) -> Option<Self> {
        let [0, t0, t1, p0, p1, 0, 0, flags, 0, l0, l1, options @ ..] = opt else {
            return None;
        };
        let mut rest = options;
        let is_opt = u16::from_be_bytes([*t0, *t1]) == OPT_TYPE;

        if !is_opt
            || flags & !0x80 != 0
            || usize::from(u16::from_be_bytes([*l0, *l1])) != rest.len()
        {
            return None;
        }

        let mut options = Self {
            payload: u16::from_be_bytes([*p0, *p1]),
            dnssec_ok: flags & 0x80 != 0,
            ..Self::default()
        };

        while let [c0, c1, l0, l1, tail @ ..] = rest {
            let (option, tail) =
                tail.split_at_checked(usize::from(u16::from_be_bytes([*l0, *l1])))?;
            match u16::from_be_bytes([*c0, *c1]) {
                SUBNET_CODE if options.subnet.is_none() => {
                    options.subnet = Some(read_subnet(option)?)
                }
                COOKIE_CODE if options.cookie.is_none() => options.cookie = Some(option),
                _ => return None,
            }

            rest = tail;
        }

        rest.is_empty().then_some(options)
    }
}

/// RFC 7871 §6: as many bytes of address as the prefix needs.
fn read_subnet(option: &[u8]) -> Option<ClientSubnet> {
    let [0, family, prefix, 0, address @ ..] = option else {
        return None;
    };
    let bits = match family {
        1 => 32,
        2 => 128,
        _ => return None,
    };

    if *prefix > bits || address.len() != usize::from(*prefix).div_ceil(8) {
        return None;
    }

    let mut octets = [0; 16];
    octets.get_mut(..address.len())?.copy_from_slice(address);

    let [a, b, c, d, ..] = octets;
    let address: IpAddr = if *family == 1 {
        Ipv4Addr::new(a, b, c, d).into()
    } else {
        Ipv6Addr::from(octets).into()
    };

    Some(ClientSubnet::new(address, *prefix, 0))
}

fn put_subnet(out: &mut Vec<u8>, subnet: &ClientSubnet, scope: u8) {
    let length = usize::from(subnet.source_prefix()).div_ceil(8);
    let mut put = |family, octets: &[u8]| {
        let [code, family] = [SUBNET_CODE, family].map(u16::to_be_bytes);
        out.extend_from_slice(&[
            code[0],
            code[1],
            0,
            4 + length as u8,
            family[0],
            family[1],
            subnet.source_prefix(),
            scope,
        ]);

        out.extend_from_slice(&octets[..length.min(octets.len())]);
    };

    match subnet.addr() {
        IpAddr::V4(address) => put(1, &address.octets()),
        IpAddr::V6(address) => put(2, &address.octets()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
