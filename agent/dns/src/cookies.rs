//! DNS cookies (RFC 7873) in their interoperable form (RFC 9018): a client that returns the cookie
//! made for its address has shown that the address is its own. Pure: secrets and the time are
//! passed in.

use siphasher::sip::SipHasher24;
use std::net::IpAddr;
use strum::IntoStaticStr;

/// Length of a client cookie, bytes.
const CLIENT: usize = 8;
/// Length of our server cookies, bytes (RFC 9018 §4).
const SERVER: usize = 16;
/// Length of a COOKIE option of ours, bytes.
pub(crate) const LENGTH: usize = CLIENT + SERVER;
/// Lengths that a server cookie may have, bytes (RFC 7873 §4.2).
const SERVER_LENGTHS: std::ops::RangeInclusive<usize> = 8..=32;
/// Version of RFC 9018's construction, and three reserved bytes.
const VERSION: [u8; 4] = [1, 0, 0, 0];
/// Lifetime of a cookie, seconds (RFC 9018 §4.3).
const LIFETIME_S: i32 = 3_600;
/// Age from which a cookie is replaced by a new one, seconds.
const RENEWAL_S: i32 = 1_800;
/// How far the clock of another agent with the same secret may be ahead, seconds.
const AHEAD_S: i32 = 300;
/// Most secrets; each costs a hash for a bad cookie.
const SECRETS_MAX: usize = 4;

/// What a client's cookie proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Proof {
    /// No cookie.
    None,
    /// A client cookie alone: it understands cookies, and has none of ours yet.
    Asked,
    /// A server cookie that is not ours, too old, or another address's.
    Wrong,
    /// The address is the client's own.
    Proven,
}

impl Proof {
    /// For metric labels.
    pub(crate) fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The COOKIE option has an invalid length (RFC 7873 §5.2.2: FORMERR).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadCookie;

/// The file of secrets is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadSecrets {
    /// Its number, from 1. The line itself is never shown.
    #[error("line {0} is not 32 hexadecimal digits")]
    Line(usize),
    /// The file has no secret.
    #[error("it contains no secret")]
    Empty,
    /// The file has more secrets than are useful.
    #[error("there are more than {SECRETS_MAX} secrets in it")]
    TooMany,
}

/// The secrets: the first makes cookies, all are accepted.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets(Vec<[u8; 16]>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// One secret.
    pub fn new(secret: [u8; 16]) -> Self {
        Self(vec![secret])
    }

    /// From a file's text: 32 hexadecimal digits a line; empty lines and those that begin with `#`
    /// are skipped.
    pub(crate) fn parse(text: &str) -> Result<Self, BadSecrets> {
        let mut secrets = Vec::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }

            let is_hex = line.len() == 32 && line.bytes().all(|byte| byte.is_ascii_hexdigit());
            let secret = u128::from_str_radix(line, 16)
                .ok()
                .filter(|_| is_hex)
                .ok_or(BadSecrets::Line(index + 1))?;

            secrets.push(secret.to_be_bytes());
        }

        match secrets.len() {
            0 => Err(BadSecrets::Empty),
            1..=SECRETS_MAX => Ok(Self(secrets)),
            _ => Err(BadSecrets::TooMany),
        }
    }

    /// A new secret in front; the previous one is still accepted, older ones are not.
    pub(crate) fn rotated(&self, secret: [u8; 16]) -> Self {
        Self(
            std::iter::once(secret)
                .chain(self.0.first().copied())
                .collect(),
        )
    }

    /// What `option`, the COOKIE option of a query from `source`, proves at `now_s` (seconds since
    /// 1970, modulo 2^32), and the option to answer with.
    pub(crate) fn check(
        &self,
        option: &[u8],
        source: IpAddr,
        now_s: u32,
    ) -> Result<(Proof, [u8; LENGTH]), BadCookie> {
        let (client, server) = option.split_first_chunk::<CLIENT>().ok_or(BadCookie)?;
        if !server.is_empty() && !SERVER_LENGTHS.contains(&server.len()) {
            return Err(BadCookie);
        }

        if let Some(age_s) = self.age_s(client, server, source, now_s) {
            let is_newest = self
                .0
                .first()
                .is_some_and(|secret| made(secret, client, server, source));

            if is_newest
                && age_s < RENEWAL_S
                && let Ok(answer) = option.try_into()
            {
                return Ok((Proof::Proven, answer));
            }

            return Ok((Proof::Proven, self.make(client, source, now_s)));
        }

        let proof = if server.is_empty() {
            Proof::Asked
        } else {
            Proof::Wrong
        };

        Ok((proof, self.make(client, source, now_s)))
    }

    /// The age of a cookie that we made for this client and that is still good, seconds.
    fn age_s(
        &self,
        client: &[u8; CLIENT],
        server: &[u8],
        source: IpAddr,
        now_s: u32,
    ) -> Option<i32> {
        let server: &[u8; SERVER] = server.try_into().ok()?;
        let [_, _, _, _, t0, t1, t2, t3, ..] = *server;

        // The difference of serial numbers (RFC 1982), so that cookies outlive the year 2106.
        let age_s = now_s
            .wrapping_sub(u32::from_be_bytes([t0, t1, t2, t3]))
            .cast_signed();
        let is_in_time = (-AHEAD_S..=LIFETIME_S).contains(&age_s);

        (is_in_time
            && self
                .0
                .iter()
                .any(|secret| made(secret, client, server, source)))
        .then_some(age_s)
    }

    fn make(&self, client: &[u8; CLIENT], source: IpAddr, now_s: u32) -> [u8; LENGTH] {
        let [t0, t1, t2, t3] = now_s.to_be_bytes();
        let [v0, v1, v2, v3] = VERSION;
        let head = [v0, v1, v2, v3, t0, t1, t2, t3];
        let secret = self.0.first().copied().unwrap_or_default();
        let mut option = [0; LENGTH];

        option[..CLIENT].copy_from_slice(client);
        option[CLIENT..][..8].copy_from_slice(&head);
        option[CLIENT + 8..].copy_from_slice(&hash(&secret, client, &head, source));
        option
    }
}

/// Whether `server` was made with this secret for this client.
fn made(secret: &[u8; 16], client: &[u8; CLIENT], server: &[u8], source: IpAddr) -> bool {
    let Some((head, hashed)) = server.split_first_chunk::<8>() else {
        return false;
    };
    let expected = hash(secret, client, head, source);

    // Over all bytes, so that the time taken does not reveal how many were right.
    head[..4] == VERSION
        && hashed.len() == expected.len()
        && hashed
            .iter()
            .zip(expected)
            .fold(0, |differs, (one, other)| differs | (one ^ other))
            == 0
}

/// RFC 9018 §4.4.
fn hash(secret: &[u8; 16], client: &[u8; CLIENT], head: &[u8; 8], source: IpAddr) -> [u8; 8] {
    let mut text = [0; CLIENT + 8 + 16];
    text[..8].copy_from_slice(client);
    text[8..16].copy_from_slice(head);

    let length = match source.to_canonical() {
        IpAddr::V4(address) => {
            text[16..20].copy_from_slice(&address.octets());
            20
        }
        IpAddr::V6(address) => {
            text[16..].copy_from_slice(&address.octets());
            32
        }
    };

    SipHasher24::new_with_key(secret)
        .hash(&text[..length])
        .to_le_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// RFC 9018, appendix A: learning a cookie, renewing one, and one over IPv6 with a secret that
    /// was replaced.
    #[test]
    fn the_examples_of_rfc_9018_are_reproduced() {
        let secrets = Secrets::parse("e5e973e5a6b2a43f48e7dc849e37bfcf").unwrap();
        let learned = secrets
            .check(
                &bytes("2464c4abcf10c957"),
                address("198.51.100.100"),
                1_559_731_985,
            )
            .unwrap();

        assert_eq!(learned.0, Proof::Asked);
        assert_eq!(
            learned.1[..],
            bytes("2464c4abcf10c957010000005cf79f111f8130c3eee29480")
        );

        // 40 minutes later it is renewed.
        let renewed = secrets
            .check(&learned.1, address("198.51.100.100"), 1_559_734_385)
            .unwrap();
        assert_eq!(renewed.0, Proof::Proven);
        assert_eq!(
            renewed.1[..],
            bytes("2464c4abcf10c957010000005cf7a871d4a564a1442aca77")
        );

        let both = "445536bcd2513298075a5d379663c962\ndd3bdf9344b678b185a6f5cb60fca715\n";
        let old = bytes("22681ab97d52c298010000005cf7c57926556bd0934c72f8");
        let source = address("2001:db8:220:1:59de:d0f4:8769:82b8");
        let (proof, new) = Secrets::parse(both)
            .unwrap()
            .check(&old, source, 1_559_741_961)
            .unwrap();

        assert_eq!(proof, Proof::Proven);
        assert_eq!(
            new[..],
            bytes("22681ab97d52c298010000005cf7c609a6bb79d16625507a")
        );
    }

    #[test]
    fn a_cookie_is_valid_for_its_address_its_client_and_one_hour() {
        let secrets = Secrets::new([7; 16]);
        let source = address("192.0.2.1");
        let now_s = 100;
        let (_, cookie) = secrets.check(&[1; 8], source, now_s).unwrap();
        let proof =
            |option: &[u8], source, now_s: u32| secrets.check(option, source, now_s).unwrap().0;

        assert_eq!(
            secrets.check(&cookie, source, now_s + 60).unwrap(),
            (Proof::Proven, cookie)
        );

        assert_eq!(proof(&cookie, source, now_s + 3_600), Proof::Proven);
        assert_eq!(proof(&cookie, source, now_s + 3_601), Proof::Wrong);

        // Made by an agent whose clock is ahead, before the count of seconds wrapped.
        assert_eq!(
            proof(&cookie, source, now_s.wrapping_sub(300)),
            Proof::Proven
        );

        assert_eq!(
            proof(&cookie, source, now_s.wrapping_sub(301)),
            Proof::Wrong
        );

        assert_eq!(proof(&cookie, address("192.0.2.2"), now_s), Proof::Wrong);
        for at in 0..cookie.len() {
            let mut other = cookie;
            other[at] ^= 1;
            assert_eq!(proof(&other, source, now_s), Proof::Wrong, "byte {at}");
        }

        assert_eq!(
            Secrets::new([8; 16])
                .check(&cookie, source, now_s)
                .unwrap()
                .0,
            Proof::Wrong
        );

        let rotated = secrets.rotated([8; 16]);
        let (proof, new) = rotated.check(&cookie, source, now_s).unwrap();
        assert!(
            proof == Proof::Proven && new != cookie,
            "the previous secret is accepted and its cookie replaced"
        );

        assert_eq!(
            rotated
                .rotated([9; 16])
                .check(&cookie, source, now_s)
                .unwrap()
                .0,
            Proof::Wrong
        );
    }

    #[test]
    fn cookies_of_invalid_length_are_format_errors() {
        let secrets = Secrets::new([7; 16]);
        for length in 0..=64 {
            let is_possible = length == 8 || (16..=40).contains(&length);
            let checked = secrets.check(&vec![0; length], address("192.0.2.1"), 0);
            assert_eq!(checked.is_ok(), is_possible, "{length}");
        }
    }

    #[test]
    fn secrets_are_read_line_by_line_and_never_printed() {
        let one = "00112233445566778899aabbccddeeff";
        assert_eq!(
            Secrets::parse(&format!("# new\n{one}\n\n{one}\n"))
                .unwrap()
                .0
                .len(),
            2
        );

        assert_eq!(Secrets::parse("# none\n").unwrap_err(), BadSecrets::Empty);
        let error =
            Secrets::parse(&format!("{one}\n+0112233445566778899aabbccddeeff")).unwrap_err();
        assert_eq!(error, BadSecrets::Line(2));
        assert_eq!(
            Secrets::parse(&format!("{one}\n").repeat(5)).unwrap_err(),
            BadSecrets::TooMany
        );

        assert!(!format!("{:?} {error}", Secrets::parse(one).unwrap()).contains("0112"));
    }
}
