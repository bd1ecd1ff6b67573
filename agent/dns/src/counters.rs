//! The metrics of one zone snapshot, resolved in advance, so that an answer needs no lookup by
//! label.

use super::{
    cookies::Proof,
    limits::Action,
    metrics::DnsMetrics,
    wire::reply::{Reply, Transport},
    zone::Zone,
};
use hickory_proto::op::ResponseCode;
use prometheus::IntCounter;

/// The codes that this server sends, as `dig` spells them; the last covers all others.
const CODES: [(ResponseCode, &str); 9] = [
    (ResponseCode::NoError, "NOERROR"),
    (ResponseCode::FormErr, "FORMERR"),
    (ResponseCode::ServFail, "SERVFAIL"),
    (ResponseCode::NXDomain, "NXDOMAIN"),
    (ResponseCode::NotImp, "NOTIMP"),
    (ResponseCode::Refused, "REFUSED"),
    (ResponseCode::BADVERS, "BADVERS"),
    (ResponseCode::BADCOOKIE, "BADCOOKIE"),
    (ResponseCode::NotZone, "OTHER"),
];
const PROOFS: [Proof; 4] = [Proof::None, Proof::Asked, Proof::Wrong, Proof::Proven];

/// Counters of answers.
#[derive(Debug)]
pub(super) struct Counters {
    /// By transport, then by code.
    queries: [[IntCounter; CODES.len()]; 2],
    /// By the region's place in the zone.
    answers: Vec<IntCounter>,
    cookies: [IntCounter; PROOFS.len()],
    cut: IntCounter,
    bad_cookie: IntCounter,
    dropped: IntCounter,
    not_a_query: [IntCounter; 2],
}

impl Counters {
    pub(super) fn new(metrics: &DnsMetrics, zone: &Zone) -> Self {
        let limited = |action| metrics.limited.with_label_values(&[action]);
        let transports = [Transport::Udp, Transport::Tcp];
        Self {
            queries: transports.map(|transport| {
                CODES.map(|(_, name)| {
                    metrics
                        .queries
                        .with_label_values(&[name, transport.as_str()])
                })
            }),
            answers: zone
                .regions
                .iter()
                .map(|region| metrics.answers.with_label_values(&[region.name.as_str()]))
                .collect(),
            cookies: PROOFS.map(|proof| metrics.cookies.with_label_values(&[proof.as_str()])),
            cut: limited("cut"),
            bad_cookie: limited("bad_cookie"),
            dropped: limited("dropped"),
            not_a_query: transports.map(|transport| {
                metrics
                    .dropped
                    .with_label_values(&[transport.as_str(), "not_a_query"])
            }),
        }
    }

    /// Counts an answer, and whether it was sent, cut or dropped.
    pub(super) fn count(
        &self,
        zone: &Zone,
        reply: &Reply<'_>,
        transport: Transport,
        action: Action,
    ) {
        self.cookies[PROOFS
            .iter()
            .position(|proof| *proof == reply.proof)
            .unwrap_or(0)]
        .inc();

        match (action, reply.code) {
            (Action::Send, _) => {}
            (Action::Cut, ResponseCode::BADCOOKIE) => self.bad_cookie.inc(),
            (Action::Cut, _) => self.cut.inc(),
            (Action::Drop, _) => return self.dropped.inc(),
        }

        let code = CODES
            .iter()
            .position(|(code, _)| *code == reply.code)
            .unwrap_or(CODES.len() - 1);

        self.queries[usize::from(transport == Transport::Tcp)][code].inc();
        let place = reply.region.and_then(|region| zone.place(region));
        if let Some(counter) = place.and_then(|place| self.answers.get(place)) {
            counter.inc();
        }
    }

    pub(super) fn count_not_a_query(&self, transport: Transport) {
        self.not_a_query[usize::from(transport == Transport::Tcp)].inc();
    }
}
