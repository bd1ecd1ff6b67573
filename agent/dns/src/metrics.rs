//! What the DNS server counts.

use crate::distances::Distances;
use prometheus::{
    GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge, Registry,
    register_gauge_vec_with_registry, register_histogram_with_registry,
    register_int_counter_vec_with_registry, register_int_counter_with_registry,
    register_int_gauge_with_registry,
};

/// Bounds of the histogram of answer times, seconds.
const DURATION_BUCKETS: [f64; 10] = [
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 5e-3, 2.5e-2, 0.1,
];

/// The DNS server's metrics. Cheap to clone; clones count together.
#[derive(Debug, Clone)]
pub struct DnsMetrics {
    /// Queries answered, by response code and transport.
    pub(crate) queries: IntCounterVec,
    /// Answers for `serving`, by region.
    pub(crate) answers: IntCounterVec,
    /// Packets and connections that got no answer, by reason.
    pub(crate) dropped: IntCounterVec,
    /// Time from a packet's receipt to its answer's.
    pub(crate) duration: Histogram,
    /// `seq` of the plan that is answered from; 0: none yet.
    pub(crate) plan_seq: IntGauge,
    /// Plans that were not answered from, by reason.
    pub(crate) refused_plans: IntCounterVec,
    /// Answers over UDP that were more than one network is sent, by what became of them.
    pub(crate) limited: IntCounterVec,
    /// Queries by what their cookies prove.
    pub(crate) cookies: IntCounterVec,
    /// Time between regions that orders latency answers, seconds.
    pub(crate) distances: GaugeVec,
    /// Open TCP connections.
    pub(crate) connections: IntGauge,
    /// How often the process was stalled, and waited for a current plan.
    pub(crate) stalls: IntCounter,
}

impl DnsMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register_int_counter_vec_with_registry!(name, help, labels, registry)
        };

        Ok(Self {
            queries: counters(
                "regionmesh_dns_queries_total",
                "DNS queries answered, by response code and transport.",
                &["rcode", "transport"],
            )?,
            answers: counters(
                "regionmesh_dns_answers_total",
                "Answers for the service name, by the region answered.",
                &["region"],
            )?,
            dropped: counters(
                "regionmesh_dns_dropped_total",
                "Packets and connections that got no answer, by transport and reason.",
                &["transport", "reason"],
            )?,
            duration: register_histogram_with_registry!(
                "regionmesh_dns_answer_duration_seconds",
                "Time to make a DNS answer.",
                DURATION_BUCKETS.to_vec(),
                registry
            )?,
            plan_seq: register_int_gauge_with_registry!(
                "regionmesh_dns_plan_seq",
                "Number of the committed plan that DNS answers from; 0 while it answers from the \
                    configuration.",
                registry
            )?,
            refused_plans: counters(
                "regionmesh_dns_plans_refused_total",
                "Committed plans that DNS did not take over, by reason; the plan before is still \
                    answered.",
                &["reason"],
            )?,
            limited: counters(
                "regionmesh_dns_rate_limited_total",
                "Answers over UDP beyond the rate limit of one network, by what became of them.",
                &["action"],
            )?,
            cookies: counters(
                "regionmesh_dns_cookies_total",
                "DNS queries, by what their cookies prove.",
                &["proof"],
            )?,
            distances: register_gauge_vec_with_registry!(
                "regionmesh_dns_distance_seconds",
                "Time between regions that orders latency answers: smoothed, and changed only by \
                    clear differences.",
                &["from", "to"],
                registry
            )?,
            stalls: register_int_counter_with_registry!(
                "regionmesh_dns_stalls_total",
                "How often the process stood still for 2 s or more, after which DNS waits for a \
                    plan.",
                registry
            )?,
            connections: register_int_gauge_with_registry!(
                "regionmesh_dns_tcp_connections",
                "Open DNS connections over TCP.",
                registry
            )?,
        })
    }

    /// Sets the gauges of distances.
    pub(crate) fn set_distances(&self, distances: &Distances) {
        for (from, to, time) in distances.all() {
            self.distances
                .with_label_values(&[from.as_str(), to.as_str()])
                .set(time.as_secs_f64());
        }
    }
}
