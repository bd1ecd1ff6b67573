//! Addresses of a plan that this agent's configuration does not have.

use super::driver::Driver;
use crate::refusals::reason;
use regionmesh_dns::unknown_addresses;
use regionmesh_protocol::{plan::CommittedPlan, status::problem::ProblemKind};

impl Driver {
    /// Reports the regions and addresses of a plan that are not in our configuration, and so not
    /// answered.
    pub(super) fn report_unknown_addresses(&self, plan: &CommittedPlan) {
        let unknown = unknown_addresses(&self.arguments.config.dns_regions(), &plan.plan);
        let problems = &self.arguments.snapshots.problems;
        problems.retain(ProblemKind::PlanAddressUnknown, |subject| {
            unknown.keys().any(|region| region.as_str() == subject)
        });

        for (region, addresses) in unknown {
            self.arguments.refusals.count_one(reason::UNKNOWN_ADDRESS);
            let detail = match &addresses[..] {
                [] => format!(
                    "plan {} names a region that is not in this agent's configuration",
                    plan.stamp
                ),
                some => {
                    format!(
                        "plan {} names {some:?}, which this agent's configuration does not have \
                            there",
                        plan.stamp
                    )
                }
            };

            tracing::warn!(%region, ?addresses, stamp = %plan.stamp, "left out of DNS answers: not \
                in the configuration");

            let advice = "left out of its DNS answers; run the same [[regions]] on all agents";
            problems.set(
                ProblemKind::PlanAddressUnknown,
                region.as_str(),
                format!("{detail}; {advice}"),
            );
        }
    }
}
