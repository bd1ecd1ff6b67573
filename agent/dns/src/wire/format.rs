//! The parts of a DNS packet that are written without a parser.

use crate::cookies;

/// Largest UDP answer, bytes: fits an IPv6 packet of 1,280 bytes, so that answers are never
/// fragmented (DNS flag day 2020).
pub const UDP_PAYLOAD: u16 = 1_232;
/// Length of a DNS header, bytes (RFC 1035 §4.1.1).
pub(crate) const HEADER: usize = 12;
/// Length of an OPT record without options, bytes (RFC 6891 §6.1.2).
pub(crate) const OPT: usize = 11;
/// Type of the OPT record.
pub(crate) const OPT_TYPE: u16 = 41;
/// Code of the COOKIE option.
pub(crate) const COOKIE_CODE: u16 = 10;

/// An OPT record up to its options, which follow and take `length` bytes.
pub(crate) fn put_opt(out: &mut Vec<u8>, code_high: u8, dnssec_ok: bool, length: usize) {
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
pub(crate) fn put_cookie(out: &mut Vec<u8>, cookie: &[u8; cookies::LENGTH]) {
    out.extend_from_slice(&COOKIE_CODE.to_be_bytes());
    out.extend_from_slice(&[0, cookies::LENGTH as u8]);
    out.extend_from_slice(cookie);
}
