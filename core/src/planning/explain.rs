//! Why a region is where it is, and what it waits for: guards, cool-down and ramp.

use super::{
    PlanInputs, RegionInput,
    overrides::Orders,
    traffic_state::{comparison_of, cooling_down_since},
    words::{self, are},
};
use crate::recovery::canary::HOLDS_MAX;
use regionmesh_protocol::{
    identity::RegionName,
    plan::{Absence, FULL_WEIGHT_BP, Plan, RegionPlan, TrafficState},
    status::condition::Condition,
};

/// One region's place in the plan in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// Its traffic state and since when.
    pub traffic_state: String,
    /// The overrides that concern it.
    pub overrides: Vec<String>,
    /// What the guards did or would do about it.
    pub guards: Vec<String>,
    /// Each condition of its cool-down and whether it holds; empty unless it cools down.
    pub cool_down: Vec<String>,
    /// Each condition of its ramp step and whether it holds; empty unless it is on the ramp.
    pub ramp: Vec<String>,
}

/// Explains `name`'s place in `plan`; none if the plan or the inputs do not have it.
pub fn explain(
    plan: &Plan,
    inputs: &PlanInputs,
    name: &RegionName,
    now_ms: u64,
) -> Option<Explanation> {
    let region = plan.regions.get(name)?;
    let input = inputs.regions.get(name)?;
    let all = Orders::of(&plan.overrides, name);
    let orders = Orders::in_effect(&plan.overrides, &plan.yielded, name);
    let overrides = [all.own, all.mesh].into_iter().flatten().map(|order| {
        let left = order.time_left(now_ms);
        let yields = plan
            .yielded
            .iter()
            .any(|yielded| yielded.region == *name && yielded.order == order.region);
        let effect = if yields {
            "; it yields, since obeying it would leave users on a region that can't serve"
        } else {
            ""
        };

        format!("{order}, {left} left{effect}")
    });

    Some(Explanation {
        traffic_state: traffic_state(region, inputs, now_ms),
        overrides: overrides.collect(),
        guards: guards(plan, inputs, name, region, input, orders),
        cool_down: cool_down(plan, inputs, region, input, orders, now_ms),
        ramp: ramp(inputs, region, input, now_ms),
    })
}

fn traffic_state(region: &RegionPlan, inputs: &PlanInputs, now_ms: u64) -> String {
    let ago = |since_ms: u64| format!("for {} s", now_ms.saturating_sub(since_ms) / 1_000);
    let because = match region.absence {
        None => "",
        Some(Absence::Failed) => ", automation took it out since it failed",
        Some(Absence::Idle) => ", it failed while it had no traffic",
        Some(Absence::Draining) => ", its own agents asked for no traffic",
        Some(Absence::Ordered) => ", an operator drained it",
        Some(Absence::Joined) => ", it joined the mesh and had no traffic yet",
    };

    match &region.traffic_state {
        TrafficState::Serving => "serves its share".into(),
        TrafficState::Reduced => {
            format!("suspect, cut to {} % of its share", inputs.suspect_percent)
        }
        TrafficState::Limited {
            since_ms,
            healthy_ms: None,
        } => {
            format!(
                "failed, keeps {} % of its share {}",
                inputs.suspect_percent,
                ago(*since_ms)
            )
        }
        TrafficState::Limited {
            healthy_ms: Some(healthy_ms),
            ..
        } => {
            format!(
                "healthy again {}, keeps {} % of its share",
                ago(*healthy_ms),
                inputs.suspect_percent
            )
        }
        TrafficState::Out { since_ms } => format!("out {}{because}", ago(*since_ms)),
        TrafficState::CoolingDown { since_ms } => {
            format!("cooling down {}{because}", ago(*since_ms))
        }
        TrafficState::Ramping { step, since_ms } => {
            format!(
                "on the ramp at {} % {}",
                inputs.recovery.percent_at(*step),
                ago(*since_ms)
            )
        }
    }
}

fn guards(
    plan: &Plan,
    inputs: &PlanInputs,
    name: &RegionName,
    region: &RegionPlan,
    input: &RegionInput,
    orders: Orders<'_>,
) -> Vec<String> {
    let mut lines = Vec::new();
    let out: Vec<&str> = plan.taken_out().map(RegionName::as_str).collect();
    match region.traffic_state {
        TrafficState::Limited { .. } => {
            lines.push(words::limit(&out, inputs.max_out, inputs.suspect_percent))
        }
        TrafficState::Serving | TrafficState::Reduced
            if out.len() >= usize::from(inputs.max_out) =>
        {
            let words = format!(
                "if it failed now it would keep {} % of its share",
                inputs.suspect_percent
            );

            lines.push(format!(
                "{words}: automation has {} out and traffic.max_out is {}",
                out.join(", "),
                inputs.max_out
            ));
        }
        _ => {}
    }

    let is_down = |condition| matches!(condition, Condition::Failed | Condition::Draining);
    if inputs
        .regions
        .values()
        .all(|input| is_down(input.condition))
        && region.weight_bp > 0
    {
        lines.push(
            "every region appears to be down, so the last shares stay: the answer is never empty"
                .into(),
        );
    }

    lines.extend(describe_capacity(input));
    if let Some(short) = &plan.shortfall {
        lines.push(words::shortfall(short));
    }

    let factor_bp = plan.cost.factor_bp(name);
    if factor_bp < FULL_WEIGHT_BP {
        let percent = f64::from(factor_bp) / 100.0;
        lines.push(format!(
            "its weight is cut to {percent} %: a request costs less elsewhere (traffic.cost)"
        ));
    }

    if orders.hold().is_some() && is_down(input.condition) && region.weight_bp > 0 {
        lines.push(format!(
            "{name} appears {} but keeps its share: it is held",
            input.condition
        ));
    }

    lines
}

fn describe_capacity(input: &RegionInput) -> Option<String> {
    let load = input
        .load_rps
        .map_or_else(String::new, |rps| format!("; it serves {rps}"));
    let about = |rps: u32| format!("by measurement it can serve about {rps} requests/s at most");

    Some(match (input.capacity_rps, input.measured_capacity_rps) {
        (None, None) => return None,
        (Some(counts), Some(measured)) if counts == measured => {
            format!("{}, and no more is moved there{load}", about(measured))
        }
        (Some(declared), Some(measured)) => {
            format!(
                "declared capacity is {declared} requests/s{load}; {}",
                about(measured)
            )
        }
        (Some(declared), None) => format!("declared capacity is {declared} requests/s{load}"),
        (None, Some(measured)) => {
            format!(
                "{}, which does not count: traffic.measured_capacity is off{load}",
                about(measured)
            )
        }
    })
}

fn cool_down(
    plan: &Plan,
    inputs: &PlanInputs,
    region: &RegionPlan,
    input: &RegionInput,
    orders: Orders<'_>,
    now_ms: u64,
) -> Vec<String> {
    let Some(since_ms) = cooling_down_since(region) else {
        return Vec::new();
    };
    let waited_ms = now_ms.saturating_sub(since_ms);
    let cool_down_ms = inputs.recovery.cool_down_for(region.flaps);
    let line =
        |holds: bool, what: String| format!("{}: {what}", if holds { "holds" } else { "waits" });
    let ramping: Vec<&str> = plan
        .regions
        .iter()
        .filter(|(_, other)| matches!(other.traffic_state, TrafficState::Ramping { .. }))
        .map(|(other, _)| other.as_str())
        .collect();

    let mut lines = vec![
        line(
            waited_ms >= cool_down_ms,
            format!(
                "healthy for {} of {} s ({} failures lately)",
                waited_ms.min(cool_down_ms) / 1_000,
                cool_down_ms / 1_000,
                region.flaps
            ),
        ),
        line(
            orders.condition(input) == Condition::Healthy,
            format!("its verdict is {}", input.condition),
        ),
        line(input.is_complete, "it lacks no version of a model".into()),
        line(input.is_loaded, "its models are loaded".into()),
        match input.inference_passes {
            Some(passes) => line(passes, "a synthetic inference passes there".into()),
            None => line(
                input.condition == Condition::Healthy,
                "it says that it is ready (no synthetic inference is configured)".into(),
            ),
        },
        line(
            ramping.is_empty(),
            if ramping.is_empty() {
                "no other region ramps".into()
            } else {
                format!("{} on the ramp; one region at a time", are(&ramping))
            },
        ),
    ];

    if let Some(hold) = orders.hold() {
        lines.push(line(false, format!("{hold}")));
    }
    lines
}

fn ramp(inputs: &PlanInputs, region: &RegionPlan, input: &RegionInput, now_ms: u64) -> Vec<String> {
    let TrafficState::Ramping { step, since_ms } = region.traffic_state else {
        return Vec::new();
    };
    let recovery = &inputs.recovery;
    let held_ms = now_ms.saturating_sub(since_ms);
    let hold_ms = recovery.hold_for(step, region.hold_doublings, inputs.ttl_ms);
    let doubled = match region.hold_doublings {
        0 => String::new(),
        times => format!(", doubled {times} times because it did worse than the others"),
    };

    let mut lines = vec![
        format!(
            "step {} of {}, {} % of its share",
            step + 1,
            recovery.steps.len(),
            recovery.percent_at(step)
        ),
        format!(
            "held for {} of {} s{doubled}",
            held_ms.min(hold_ms) / 1_000,
            hold_ms / 1_000
        ),
    ];

    match comparison_of(input, step, since_ms) {
        Ok(None) => lines.push("requests are not measured here: verdict and time decide".into()),
        Err(_) => {
            lines.push("waits: measurements of its service are missing, so the ramp holds".into())
        }
        Ok(Some(comparison)) => {
            lines.push(format!(
                "{} of {} requests seen, {} errors; also {} probes, which count if no requests \
                 come, or too few within {HOLDS_MAX} times the hold",
                comparison.own.requests(),
                recovery.min_requests,
                comparison.own.errors,
                comparison.own.probes,
            ));

            lines.push(
                match (
                    comparison.control,
                    comparison.regression(recovery.errors_floor_bp, false),
                ) {
                    (_, Some(regression)) => {
                        format!("worse than the regions that serve: {regression}")
                    }
                    (Some(control), None) if control.requests() > 0 => format!(
                        "not worse than the regions that serve ({} errors in {} requests)",
                        control.errors,
                        control.requests()
                    ),
                    (_, None) => "no other region serves requests to compare with".into(),
                },
            );
        }
    }

    lines
}
