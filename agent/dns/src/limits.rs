//! Response rate limiting: bounds the answers of one kind to one network, so that a flood of
//! queries with a forged sender hardly affects the victim (Vixie and Schryver 2012, ISC-TN-2012-1).
//!
//! A network of IPv4 is a /24, of IPv6 a /56. Each has a meter for each kind of answer (generic
//! cell rate algorithm, ITU-T I.371): one number, the time at which the next answer is due if they
//! are sent at the limit. All meters are in one table of fixed size, read and written without locks
//! by all workers. If it is full, the meter with the least debt is evicted, so that a flood from
//! new networks can't release a limited one.

use crate::{config::RateLimitConfig, wire::reply::Kind};
use ipnet::IpNet;
use siphasher::sip::SipHasher13;
use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

/// The meter's unit of time: an eighth of a millisecond.
const TICKS_PER_S: u64 = 8_000;
/// How much may be answered in a burst after a pause: a second's worth.
const BURST: u64 = TICKS_PER_S;
/// Meters of one set: a cache line.
const METERS_PER_SET: usize = 8;
/// Sets; with 64 bytes each the table has 1 MiB and room for 131,072 meters.
const SETS: usize = 16_384;
/// Attempts to update a meter that other workers update too.
const TRIES: u32 = 8;

/// Whether an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// It is sent.
    Send,
    /// It is sent without its records and with TC, or with the code BADCOOKIE.
    Cut,
    /// It is not sent.
    Drop,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; METERS_PER_SET]);

/// All meters.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    interval: u64,
    slip: u64,
    exempt: Vec<IpNet>,
    sets: Box<[Set]>,
    /// Secret, so that an attacker can't choose networks that share a set.
    key: [u8; 16],
    began: Instant,
}

impl RateLimiter {
    /// None where the configuration has no limit. `key` is random.
    pub(crate) fn new(config: &RateLimitConfig, key: [u8; 16]) -> Option<Self> {
        let interval = TICKS_PER_S
            .checked_div(u64::from(config.responses_per_second))?
            .max(1);
        let sets = std::iter::repeat_with(Set::default).take(SETS).collect();
        let exempt = config.exempt.clone();

        Some(Self {
            interval,
            slip: u64::from(config.slip.min(10)),
            exempt,
            sets,
            key,
            began: Instant::now(),
        })
    }

    /// Whether to send an answer of this kind to `source` at `now`.
    pub(crate) fn decide(&self, source: IpAddr, kind: Kind, now: Instant) -> Action {
        let source = source.to_canonical();
        if self.exempt.iter().any(|network| network.contains(&source)) {
            return Action::Send;
        }

        let elapsed = now.saturating_duration_since(self.began);
        let now = elapsed.as_secs() * TICKS_PER_S + u64::from(elapsed.subsec_micros()) / 125;
        let hash = self.hash(source, kind);
        let set = &self.sets[(hash % SETS as u64) as usize].0;

        for _ in 0..TRIES {
            let (cell, seen) = find(set, Meter::tag(hash));
            let mut meter = Meter::read(seen, hash);
            let action = self.measure(&mut meter, now);

            if cell
                .compare_exchange_weak(seen, meter.word(), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            {
                return action;
            }
        }

        // Contention: too many concurrent answers to one network.
        Action::Drop
    }

    fn measure(&self, meter: &mut Meter, now: u64) -> Action {
        let due = meter.due.max(now);
        if due + self.interval <= now + BURST {
            meter.due = due + self.interval;
            return Action::Send;
        }

        if self.slip == 0 {
            return Action::Drop;
        }
        meter.beyond += 1;
        if meter.beyond >= self.slip {
            meter.beyond = 0;
            return Action::Cut;
        }

        Action::Drop
    }

    fn hash(&self, source: IpAddr, kind: Kind) -> u64 {
        let network = match source {
            IpAddr::V4(address) => u64::from(address.to_bits() >> 8),
            // A /56 is the upper seven of eight bytes; with a mark, since 0:0:0:1::/56 is not
            // 0.0.1.0/24.
            IpAddr::V6(address) => (1 << 56) | (address.to_bits() >> 72) as u64,
        };
        let mut text = [0; 9];

        text[..8].copy_from_slice(&network.to_be_bytes());
        text[8] = kind as u8;
        SipHasher13::new_with_key(&self.key).hash(&text)
    }
}

/// The network's meter, or the one that is evicted for it.
fn find(set: &[AtomicU64; METERS_PER_SET], tag: u64) -> (&AtomicU64, u64) {
    let mut least = (&set[0], u64::MAX, u64::MAX);
    for cell in set {
        let word = cell.load(Ordering::Relaxed);
        if word >> Meter::TAG_SHIFT == tag {
            return (cell, word);
        }

        let due = word & Meter::DUE_MASK;
        if due < least.2 {
            least = (cell, word, due);
        }
    }

    (least.0, least.1)
}

/// One network's meter for one kind of answer, in one word: 20 bits that distinguish it from others
/// of its set, 4 bits that count what was beyond the limit, 40 bits of time (4 years of ticks).
struct Meter {
    tag: u64,
    beyond: u64,
    due: u64,
}

impl Meter {
    const TAG_SHIFT: u32 = 44;
    const DUE_MASK: u64 = (1 << 40) - 1;

    /// Never 0, which is an empty place.
    fn tag(hash: u64) -> u64 {
        (hash >> Self::TAG_SHIFT).max(1)
    }

    fn read(word: u64, hash: u64) -> Self {
        let tag = Self::tag(hash);
        if word >> Self::TAG_SHIFT == tag {
            Self {
                tag,
                beyond: (word >> 40) & 0xf,
                due: word & Self::DUE_MASK,
            }
        } else {
            Self {
                tag,
                beyond: 0,
                due: 0,
            }
        }
    }

    fn word(&self) -> u64 {
        self.tag << Self::TAG_SHIFT | self.beyond << 40 | self.due & Self::DUE_MASK
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn limiter(responses_per_second: u32, slip: u32) -> RateLimiter {
        let config = RateLimitConfig {
            responses_per_second,
            slip,
            ..RateLimitConfig::default()
        };

        RateLimiter::new(&config, [3; 16]).unwrap()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of `count` simultaneous answers are sent, truncated and dropped.
    fn tally(
        limiter: &RateLimiter,
        source: &str,
        kind: Kind,
        at: Instant,
        count: u32,
    ) -> (u32, u32, u32) {
        (0..count).fold((0, 0, 0), |(sent, cut, dropped), _| {
            match limiter.decide(address(source), kind, at) {
                Action::Send => (sent + 1, cut, dropped),
                Action::Cut => (sent, cut + 1, dropped),
                Action::Drop => (sent, cut, dropped + 1),
            }
        })
    }

    #[test]
    fn a_network_gets_its_rate_and_then_every_second_answer_truncated() {
        let limiter = limiter(20, 2);
        let begin = limiter.began;
        assert_eq!(
            tally(&limiter, "192.0.2.1", Kind::Positive, begin, 120),
            (20, 50, 50)
        );

        assert_eq!(
            tally(&limiter, "192.0.2.200", Kind::Positive, begin, 10),
            (0, 5, 5),
            "the same /24"
        );

        assert_eq!(
            tally(&limiter, "192.0.3.1", Kind::Positive, begin, 10),
            (10, 0, 0),
            "another /24"
        );

        assert_eq!(
            tally(&limiter, "192.0.2.1", Kind::NoName, begin, 10),
            (10, 0, 0),
            "another kind"
        );

        let later = begin + Duration::from_millis(500);
        assert_eq!(
            tally(&limiter, "::ffff:192.0.2.1", Kind::Positive, later, 100).0,
            10
        );

        let much_later = begin + Duration::from_secs(3_600);
        assert_eq!(
            tally(&limiter, "192.0.2.1", Kind::Positive, much_later, 100).0,
            20,
            "no more than a second's worth"
        );
    }

    #[test]
    fn ipv6_clients_are_limited_by_slash_56() {
        let limiter = limiter(20, 0);
        let begin = limiter.began;
        assert_eq!(
            tally(&limiter, "2001:db8:0:0::1", Kind::Positive, begin, 30),
            (20, 0, 10)
        );

        assert_eq!(
            tally(&limiter, "2001:db8:0:ff::1", Kind::Positive, begin, 1).0,
            0
        );

        assert_eq!(
            tally(&limiter, "2001:db8:0:100::1", Kind::Positive, begin, 1).0,
            1
        );
    }

    #[test]
    fn exempt_networks_and_a_rate_of_zero_are_never_limited() {
        let limiter = limiter(1, 1);
        assert_eq!(
            tally(&limiter, "127.0.0.1", Kind::Error, limiter.began, 100),
            (100, 0, 0)
        );

        assert_eq!(
            tally(&limiter, "::1", Kind::Error, limiter.began, 100),
            (100, 0, 0)
        );

        assert_eq!(
            tally(&limiter, "10.0.0.1", Kind::Error, limiter.began, 100),
            (1, 99, 0)
        );

        assert!(
            RateLimiter::new(
                &RateLimitConfig {
                    responses_per_second: 0,
                    ..RateLimitConfig::default()
                },
                [0; 16]
            )
            .is_none()
        );
    }

    #[test]
    fn a_flood_from_new_networks_does_not_release_a_limited_one() {
        let limiter = limiter(20, 0);
        let begin = limiter.began;
        tally(&limiter, "192.0.2.1", Kind::Positive, begin, 100);
        for network in 0..2_000_000u32 {
            limiter.decide(IpAddr::V4((network << 8).into()), Kind::Positive, begin);
        }
        assert_eq!(
            tally(&limiter, "192.0.2.1", Kind::Positive, begin, 100).0,
            0
        );
    }
}
