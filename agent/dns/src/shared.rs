//! The state that workers and connections answer from, and how it is replaced.

use crate::{
    config::Config,
    cookies::{Proof, Secrets},
    counters::Counters,
    limits::{Action, RateLimiter},
    metrics::DnsMetrics,
    stall_detector::StallDetector,
    wire::{
        reply::{QueryContext, Transport},
        respond,
    },
    zone::{Adjustments, Zone},
};
use arc_swap::{ArcSwap, ArcSwapOption};
use regionmesh_protocol::plan::CommittedPlan;
use regionmesh_runtime::time::unix_ms;
use std::{cmp::Ordering, net::IpAddr, sync::Arc, time::Instant};
use tracing::{error, info, warn};

/// The state that the UDP workers, the TCP connections and the tasks share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    answers: ArcSwap<Answers>,
    pub(super) secrets: ArcSwapOption<Secrets>,
    limiter: Option<RateLimiter>,
    pub(super) metrics: DnsMetrics,
    pub(super) stall_detector: StallDetector,
}

/// A zone and its counters.
#[derive(Debug)]
struct Answers {
    zone: Zone,
    counters: Counters,
}

/// The state that a batch of packets is answered from.
pub(super) struct Snapshot<'a> {
    answers: arc_swap::Guard<Arc<Answers>>,
    secrets: arc_swap::Guard<Option<Arc<Secrets>>>,
    limiter: Option<&'a RateLimiter>,
    now_s: u32,
    /// False while the process waits for a current plan after a stall.
    may_answer: bool,
}

fn plan_seq(zone: &Zone) -> i64 {
    zone.stamp
        .as_ref()
        .map_or(0, |stamp| i64::try_from(stamp.seq).unwrap_or(i64::MAX))
}

pub(super) fn announce(zone: &Zone, plan: Option<&CommittedPlan>) {
    let weights: Vec<_> = zone
        .regions
        .iter()
        .map(|region| format!("{}={}", region.name, region.weight_bp))
        .collect();
    let weights = weights.join(" ");

    match plan {
        Some(CommittedPlan { stamp, plan, .. }) => {
            info!(
                seq = stamp.seq,
                ballot = stamp.ballot.number,
                %weights,
                reason = %plan.reason,
                "DNS answers a new plan"
            );
        }
        None => {
            warn!(%weights, "DNS answers all regions of the configuration: no plan is committed \
                yet")
        }
    }

    if zone.is_withdrawn {
        error!(
            "every region failed: DNS answers without addresses, because of traffic.when_all_down"
        );
    } else if !zone.is_weighted() {
        error!(%weights, "no region has a share: DNS answers all of them");
    }
}

impl Shared {
    pub(super) fn new(
        config: Arc<Config>,
        zone: Zone,
        secrets: Option<Secrets>,
        metrics: DnsMetrics,
    ) -> Self {
        metrics.plan_seq.set(plan_seq(&zone));
        let counters = Counters::new(&metrics, &zone);

        Self {
            answers: ArcSwap::from_pointee(Answers { zone, counters }),
            secrets: ArcSwapOption::from_pointee(secrets),
            limiter: RateLimiter::new(&config.settings.rate_limit, rand::random()),
            config,
            metrics,
            stall_detector: StallDetector::default(),
        }
    }

    /// Whether a plan is newer than the current one. An older one is refused and counted.
    fn accepts(&self, plan: &CommittedPlan) -> bool {
        let answers = self.answers.load();
        match answers
            .zone
            .stamp
            .as_ref()
            .map(|current| plan.stamp.cmp(current))
        {
            None | Some(Ordering::Greater) => true,
            Some(Ordering::Equal) => false,
            Some(Ordering::Less) => {
                warn!(
                    seq = plan.stamp.seq,
                    "DNS refused a plan that is older than its current one"
                );

                self.metrics
                    .refused_plans
                    .with_label_values(&["older"])
                    .inc();

                false
            }
        }
    }

    /// Switches to a plan that is newer than the current one, or to any plan if the current one was
    /// withdrawn. Returns the plan if the switch was made.
    pub(super) fn take_over(
        &self,
        offered: Option<Arc<CommittedPlan>>,
        adjustments: &Adjustments,
        is_withdrawn: bool,
    ) -> Option<Arc<CommittedPlan>> {
        let plan = offered.filter(|plan| is_withdrawn || self.accepts(plan))?;
        if !self.answer_from(Some(&plan), adjustments) {
            return None;
        }
        announce(&self.answers.load().zone, Some(&plan));
        Some(plan)
    }

    /// Swaps the snapshot. False if it can't be compiled: then the previous one stays.
    pub(super) fn answer_from(
        &self,
        plan: Option<&CommittedPlan>,
        adjustments: &Adjustments,
    ) -> bool {
        match Zone::compile_with(&self.config, plan, adjustments) {
            Ok(zone) => {
                self.metrics.plan_seq.set(plan_seq(&zone));
                let counters = Counters::new(&self.metrics, &zone);
                self.answers.store(Arc::new(Answers { zone, counters }));
                true
            }
            Err(error) => {
                let seq = plan.map_or(0, |plan| plan.stamp.seq);
                self.metrics
                    .refused_plans
                    .with_label_values(&["unanswerable"])
                    .inc();

                error!(
                    seq,
                    %error,
                    "the new plan can't be compiled; DNS continues with the previous one"
                );
                false
            }
        }
    }

    /// The current zone, secrets and time.
    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        // Cookies count seconds modulo 2^32.
        let now_s = ((unix_ms() / 1_000) & u64::from(u32::MAX)) as u32;
        let answers = self.answers.load();
        let secrets = self.secrets.load();

        Snapshot {
            answers,
            secrets,
            limiter: self.limiter.as_ref(),
            now_s,
            may_answer: self.stall_detector.may_answer(),
        }
    }

    pub(super) fn count_dropped(&self, transport: Transport, reason: &str) {
        self.metrics
            .dropped
            .with_label_values(&[transport.as_str(), reason])
            .inc();
    }
}

impl Snapshot<'_> {
    /// Writes the answer to a packet that came from `source` at `now` to `out`. False if nothing is
    /// to be sent.
    pub(super) fn respond(
        &self,
        packet: &[u8],
        source: IpAddr,
        transport: Transport,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> bool {
        if !self.may_answer {
            return false;
        }

        let Answers { zone, counters } = &**self.answers;
        let random = rand::random();
        let secrets = self.secrets.as_deref();
        let context = QueryContext {
            source,
            transport,
            random,
            now_s: self.now_s,
            secrets,
        };

        let Some(mut reply) = respond(zone, packet, &context, out) else {
            counters.count_not_a_query(transport);
            return false;
        };

        // TCP and our own cookie both prove that the sender's address is not forged.
        let is_proven = transport == Transport::Tcp || reply.proof == Proof::Proven;
        let limiter = self.limiter.filter(|_| !is_proven);
        let action = limiter.map_or(Action::Send, |limiter| {
            limiter.decide(source, reply.kind, now)
        });

        if action == Action::Cut {
            reply.cut(out);
        }
        counters.count(zone, &reply, transport, action);
        action != Action::Drop
    }
}
