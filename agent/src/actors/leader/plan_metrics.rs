//! Metrics of each region in the last plan known: its share, its traffic state and since when.

use prometheus::{
    GaugeVec, IntGaugeVec, register_gauge_vec_with_registry, register_int_gauge_vec_with_registry,
};
use regionmesh_protocol::plan::{FULL_WEIGHT_BP, Plan, TrafficState};
use regionmesh_runtime::metrics::Registry;

/// Series by region; those of a region that leaves the mesh stay until the process ends.
#[derive(Debug, Clone)]
pub(super) struct PlanMetrics {
    share: GaugeVec,
    traffic_state: IntGaugeVec,
    since: GaugeVec,
    ramp_step: IntGaugeVec,
    cost_factor: GaugeVec,
}

impl PlanMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        Ok(Self {
            share: register_gauge_vec_with_registry!(
                "regionmesh_plan_share_ratio",
                "Share of traffic, 0 to 1.",
                &["region"],
                registry
            )?,
            traffic_state: register_int_gauge_vec_with_registry!(
                "regionmesh_plan_traffic_state",
                "1 for the state: serving, reduced, limited, out, cooling-down, ramping.",
                &["region", "state"],
                registry
            )?,
            since: register_gauge_vec_with_registry!(
                "regionmesh_plan_traffic_state_timestamp_seconds",
                "Start of the state or ramp step, Unix time; 0 while serving or reduced.",
                &["region"],
                registry
            )?,
            ramp_step: register_int_gauge_vec_with_registry!(
                "regionmesh_plan_ramp_step",
                "Step of the ramp, from 1; 0: not ramping.",
                &["region"],
                registry
            )?,
            cost_factor: register_gauge_vec_with_registry!(
                "regionmesh_plan_cost_factor_ratio",
                "Weight left by traffic.cost, 0.5 to 1.",
                &["region"],
                registry
            )?,
        })
    }

    pub(super) fn update(&self, plan: &Plan) {
        for (name, share) in plan.shares() {
            self.share.with_label_values(&[name.as_str()]).set(share);
        }

        for (name, region) in &plan.regions {
            let factor = f64::from(plan.cost.factor_bp(name)) / f64::from(FULL_WEIGHT_BP);
            self.cost_factor
                .with_label_values(&[name.as_str()])
                .set(factor);

            let name = name.as_str();
            let traffic_state = &region.traffic_state;
            for word in TrafficState::WORDS {
                self.traffic_state
                    .with_label_values(&[name, word])
                    .set(i64::from(*word == traffic_state.as_str()));
            }

            let since_s = traffic_state
                .since_ms()
                .map_or(0.0, |ms| std::time::Duration::from_millis(ms).as_secs_f64());
            self.since.with_label_values(&[name]).set(since_s);

            let step = match traffic_state {
                TrafficState::Ramping { step, .. } => i64::try_from(step + 1).unwrap_or(i64::MAX),
                _ => 0,
            };

            self.ramp_step.with_label_values(&[name]).set(step);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use regionmesh_protocol::plan::RegionPlan;

    fn region(weight_bp: u16, traffic_state: TrafficState) -> RegionPlan {
        RegionPlan {
            weight_bp,
            traffic_state,
            ..RegionPlan::default()
        }
    }

    #[test]
    fn a_region_has_exactly_one_traffic_state_with_the_step_and_time_of_the_plan() {
        let registry = Registry::new();
        let metrics = PlanMetrics::new(&registry).unwrap();
        let mut plan = Plan::default();
        let climbing = TrafficState::Ramping {
            step: 1,
            since_ms: 1_500,
        };

        plan.regions
            .insert("a".parse().unwrap(), region(10_000, TrafficState::Serving));
        plan.regions
            .insert("b".parse().unwrap(), region(2_500, climbing));
        metrics.update(&plan);
        assert_eq!(metrics.share.with_label_values(&["a"]).get(), 0.8);
        assert_eq!(metrics.share.with_label_values(&["b"]).get(), 0.2);
        assert_eq!(metrics.ramp_step.with_label_values(&["a"]).get(), 0);
        assert_eq!(metrics.ramp_step.with_label_values(&["b"]).get(), 2);
        assert_eq!(metrics.since.with_label_values(&["b"]).get(), 1.5);

        plan.regions
            .insert("b".parse().unwrap(), region(10_000, TrafficState::Serving));
        metrics.update(&plan);
        assert_eq!(metrics.since.with_label_values(&["b"]).get(), 0.0);
        assert_eq!(metrics.ramp_step.with_label_values(&["b"]).get(), 0);

        for name in ["a", "b"] {
            let stands = |word: &&str| {
                metrics
                    .traffic_state
                    .with_label_values(&[name, *word])
                    .get()
                    == 1
            };
            assert_eq!(
                TrafficState::WORDS
                    .iter()
                    .filter(|word| stands(word))
                    .collect::<Vec<_>>(),
                [&"serving"]
            );
        }
    }

    #[test]
    fn every_traffic_state_has_a_listed_name() {
        let since_ms = 1;
        let all = [
            TrafficState::Serving,
            TrafficState::Reduced,
            TrafficState::Limited {
                since_ms,
                healthy_ms: None,
            },
            TrafficState::Out { since_ms },
            TrafficState::CoolingDown { since_ms },
            TrafficState::Ramping { step: 0, since_ms },
        ];

        assert_eq!(
            all.each_ref().map(TrafficState::as_str),
            TrafficState::WORDS
        );
    }
}
