//! What the DNS server counts.

use crate::distances::Distances;
use prometheus::{
    GaugeVec, Histogram, IntCounter, IntCounterVec, IntGauge, register_gauge_vec_with_registry,
    register_histogram_with_registry, register_int_counter_vec_with_registry,
    register_int_counter_with_registry, register_int_gauge_with_registry,
};
use regionmesh_runtime::metrics::Registry;

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
                "Queries answered.",
                &["rcode", "transport"],
            )?,
            answers: counters(
                "regionmesh_dns_answers_total",
                "Answers for the service name.",
                &["region"],
            )?,
            dropped: counters(
                "regionmesh_dns_dropped_total",
                "Packets and connections unanswered, by reason: not_a_query, too_long, cut_off, \
                    idle, send_failed, receive_failed, accept_failed, too_many, \
                    too_many_of_one_client.",
                &["transport", "reason"],
            )?,
            duration: register_histogram_with_registry!(
                "regionmesh_dns_answer_duration_seconds",
                "Time to answer a query.",
                DURATION_BUCKETS.to_vec(),
                registry
            )?,
            plan_seq: register_int_gauge_with_registry!(
                "regionmesh_dns_plan_seq",
                "Plan that DNS serves; 0: the configuration.",
                registry
            )?,
            refused_plans: counters(
                "regionmesh_dns_plans_refused_total",
                "Plans that DNS does not serve, by reason: older, unanswerable.",
                &["reason"],
            )?,
            limited: counters(
                "regionmesh_dns_rate_limited_total",
                "UDP answers over the rate limit, by action: cut, bad_cookie, dropped (counted \
                    nowhere else).",
                &["action"],
            )?,
            cookies: counters(
                "regionmesh_dns_cookies_total",
                "Queries, by proof of their cookie: none, asked, wrong, proven.",
                &["proof"],
            )?,
            distances: register_gauge_vec_with_registry!(
                "regionmesh_dns_distance_seconds",
                "Round-trip time that orders latency answers, smoothed.",
                &["from", "to"],
                registry
            )?,
            stalls: register_int_counter_with_registry!(
                "regionmesh_dns_stalls_total",
                "Process pauses of 2 s or more.",
                registry
            )?,
            connections: register_int_gauge_with_registry!(
                "regionmesh_dns_tcp_connections",
                "Open TCP connections.",
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
