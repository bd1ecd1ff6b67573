//! From one plan to the next.
//!
//! In this order: every region's standing follows its verdict; one gate may open; weights follow from standings; the
//! guard sees to it that somebody is left to answer. Applying the result again at the same time changes nothing.

use super::{FULL_WEIGHT_BP, Plan, PlanInputs, RegionInput, RegionPlan, Standing, Strategy};
use crate::{
    identity::RegionName,
    ramp::{RampMove, RecoveryPolicy},
    verdict::Condition,
};
use std::collections::BTreeMap;

/// Longest reason of a plan, bytes: it is read by people and carried by every agent's board entry.
const REASON_MAX: usize = 1_000;

/// The plan that follows from `current`, what is known, and the time; none if `current` may stay as it is.
///
/// Standings:
/// - No plan yet: all that is not known to be down serves. A region that joins later comes in by the gate and the ramp.
/// - Suspect: the share is cut to `suspect_percent`, and given back at once with the suspicion; on the ramp, one step
///   back instead; in the gate, the gate begins anew.
/// - Failed: out, and counted as a flap. Draining: out, not counted. Unknown: all stays, nothing advances.
/// - Healthy again: the gate ([`RecoveryPolicy::gate_for`]), held shut while the region lacks models; then the ramp,
///   one region at a time, so that what happens to the others can be laid at its door.
///
/// The guard is [`keep_somebody`]: the answer is never empty.
pub fn next_plan(current: Option<&Plan>, inputs: &PlanInputs, now_ms: u64) -> Option<Plan> {
    let mut draft = Draft::new(current, inputs, now_ms);
    draft.follow_verdicts();
    draft.open_gates();
    draft.share_out();
    keep_somebody(&mut draft, current);
    draft.finish(current)
}

/// A plan in the making.
struct Draft<'a> {
    inputs: &'a PlanInputs,
    now_ms: u64,
    regions: BTreeMap<RegionName, RegionPlan>,
    reasons: Vec<String>,
}

impl<'a> Draft<'a> {
    fn new(current: Option<&Plan>, inputs: &'a PlanInputs, now_ms: u64) -> Self {
        let mut reasons = Vec::new();
        let regions = inputs.regions.iter().map(|(name, input)| {
            let region = match current {
                None => RegionPlan {
                    weight_bp: 0,
                    standing: match input.condition {
                        Condition::Unknown | Condition::Healthy | Condition::Suspect => Standing::Serving,
                        Condition::Failed | Condition::Draining => Standing::Out { since_ms: now_ms },
                    },
                    addresses: input.addresses.clone(),
                    flaps: 0,
                    failed_ms: 0,
                },
                Some(plan) => match plan.regions.get(name) {
                    Some(region) => {
                        if region.addresses != input.addresses {
                            reasons.push(format!("{name}: addresses changed"));
                        }
                        RegionPlan { addresses: input.addresses.clone(), ..region.clone() }
                    }
                    None => {
                        reasons.push(format!("{name}: joined the mesh"));
                        RegionPlan {
                            weight_bp: 0,
                            standing: Standing::Out { since_ms: now_ms },
                            addresses: input.addresses.clone(),
                            flaps: 0,
                            failed_ms: 0,
                        }
                    }
                },
            };
            (name.clone(), region)
        });
        let regions = regions.collect();
        match current {
            None => reasons.push("first plan".into()),
            Some(plan) => reasons.extend(
                plan.regions
                    .keys()
                    .filter(|name| !inputs.regions.contains_key(name))
                    .map(|name| format!("{name}: left the mesh")),
            ),
        }
        Self { inputs, now_ms, regions, reasons }
    }

    /// Brings every standing in line with its verdict; gates stay shut.
    fn follow_verdicts(&mut self) {
        for (name, region) in &mut self.regions {
            if let Some(input) = self.inputs.regions.get(name) {
                settle(name, region, input, self.inputs, self.now_ms, &mut self.reasons);
            }
        }
    }

    /// Opens the gate of the region that has waited longest, unless another is on the ramp.
    fn open_gates(&mut self) {
        while !self.regions.values().any(|region| matches!(region.standing, Standing::Ramping { .. })) {
            let mut ready: Vec<(u64, RegionName)> = self
                .regions
                .iter()
                .filter_map(|(name, region)| {
                    let input = self.inputs.regions.get(name)?;
                    let since_ms = gate_passed(region, input, &self.inputs.recovery, self.now_ms)?;
                    Some((since_ms, name.clone()))
                })
                .collect();
            ready.sort();
            let mut ready = ready.into_iter().map(|(_, name)| name);
            let Some(name) = ready.next() else { return };
            self.enter_ramp(&name, "healthy through its gate");
            let waiting: Vec<String> = ready.map(|name| name.to_string()).collect();
            if !waiting.is_empty() {
                self.reasons.push(format!("{} must wait: one region ramps at a time", waiting.join(", ")));
            }
        }
    }

    /// Puts a region on the ramp's first step, and further if steps are held for no time.
    fn enter_ramp(&mut self, name: &RegionName, why: &str) {
        let (Some(region), Some(input)) = (self.regions.get_mut(name), self.inputs.regions.get(name)) else { return };
        match self.inputs.recovery.enter() {
            RampMove::Step(step) => {
                region.standing = Standing::Ramping { step, since_ms: self.now_ms.max(input.since_ms) };
                let percent = self.inputs.recovery.percent_at(step);
                self.reasons.push(format!("{name}: {why}; ramps up from {percent} %"));
            }
            RampMove::Full | RampMove::Hold => {
                region.standing = Standing::Serving;
                self.reasons.push(format!("{name}: {why}; gets its full share"));
            }
        }
        settle(name, region, input, self.inputs, self.now_ms, &mut self.reasons);
    }

    /// Sets the weights that follow from the standings.
    ///
    /// A region of normal weight 0 is a standby: it gets traffic only where all others together would get none.
    fn share_out(&mut self) {
        let suspect = self.inputs.suspect_percent.min(100);
        self.set_weights(suspect, |input| input.weight_bp.min(FULL_WEIGHT_BP));
        if self.total() == 0 {
            self.set_weights(suspect, |_| FULL_WEIGHT_BP);
        }
        if self.total() == 0 {
            self.set_weights(100, |_| FULL_WEIGHT_BP);
        }
    }

    fn set_weights(&mut self, suspect_percent: u8, normal: impl Fn(&RegionInput) -> u16) {
        let mut order: Vec<(&RegionName, &RegionInput)> = self.inputs.regions.iter().collect();
        order.sort_by_key(|(name, input)| (input.priority, *name));
        let mut rest = FULL_WEIGHT_BP;
        for (name, input) in order {
            let Some(region) = self.regions.get_mut(name) else { continue };
            let percent = match region.standing {
                _ if input.addresses.is_empty() => 0,
                Standing::Serving => 100,
                Standing::Reduced => suspect_percent,
                Standing::Ramping { step, .. } => self.inputs.recovery.percent_at(step),
                Standing::Out { .. } | Standing::Gated { .. } => 0,
            };
            region.weight_bp = match self.inputs.strategy {
                Strategy::Weighted => portion(normal(input), percent),
                // Each takes its percentage of what those before it left: a primary on the ramp at 25 % leaves 75 %
                // to its backup, a healthy one nothing.
                Strategy::ActivePassive => {
                    let weight_bp = portion(rest, percent);
                    rest -= weight_bp;
                    weight_bp
                }
            };
        }
    }

    fn total(&self) -> u32 {
        self.regions.values().map(|region| u32::from(region.weight_bp)).sum()
    }

    fn finish(mut self, current: Option<&Plan>) -> Option<Plan> {
        if current.is_some_and(|plan| plan.regions == self.regions) {
            return None;
        }
        if self.reasons.is_empty() {
            self.reasons.push("the configured shares changed".into());
        }
        let mut reason = self.reasons.join("; ");
        if reason.len() > REASON_MAX {
            reason.truncate(reason.floor_char_boundary(REASON_MAX));
            reason.push('…');
        }
        Some(Plan { regions: self.regions, reason, made_ms: self.now_ms })
    }
}

/// `percent` of `weight_bp`, rounded up so that a small share is not none.
fn portion(weight_bp: u16, percent: u8) -> u16 {
    let share = (u32::from(weight_bp) * u32::from(percent)).div_ceil(100);
    u16::try_from(share).unwrap_or(weight_bp).min(weight_bp)
}

/// Moves one region's standing until its verdict asks for no further move at this time.
fn settle(
    name: &RegionName,
    region: &mut RegionPlan,
    input: &RegionInput,
    inputs: &PlanInputs,
    now_ms: u64,
    reasons: &mut Vec<String>,
) {
    while let Some(reason) = step(region, input, inputs, now_ms) {
        reasons.push(format!("{name}: {reason}"));
    }
}

/// One move of one region's standing, and why; none if it rests. Every chain of moves at one time ends, since under
/// one verdict a region moves in one direction only.
fn step(region: &mut RegionPlan, input: &RegionInput, inputs: &PlanInputs, now_ms: u64) -> Option<String> {
    let recovery = &inputs.recovery;
    let because = |what: &str| {
        if input.reason.is_empty() { what.to_owned() } else { format!("{what}: {}", input.reason) }
    };
    let (standing, reason) = match (input.condition, &region.standing) {
        (Condition::Unknown, _) | (Condition::Failed | Condition::Draining, Standing::Out { .. }) => return None,
        (Condition::Failed, _) => {
            region.flaps = region.flaps.saturating_add(1);
            region.failed_ms = now_ms;
            (Standing::Out { since_ms: now_ms }, because("failed"))
        }
        (Condition::Draining, _) => (Standing::Out { since_ms: now_ms }, because("drains")),

        (Condition::Suspect, Standing::Serving) => {
            (Standing::Reduced, because(&format!("suspect, its share is cut to {} %", inputs.suspect_percent)))
        }
        (Condition::Suspect, Standing::Gated { .. }) => {
            (Standing::Out { since_ms: now_ms }, because("suspect, its gate begins anew"))
        }
        (Condition::Suspect, Standing::Ramping { step, since_ms }) => {
            // Once for each suspicion: this step is younger than the suspicion it was entered for.
            if *since_ms >= input.since_ms {
                return None;
            }
            let step = recovery.back(*step);
            let standing = Standing::Ramping { step, since_ms: now_ms.max(input.since_ms) };
            (standing, because(&format!("suspect, back to {} %", recovery.percent_at(step))))
        }
        (Condition::Suspect, Standing::Reduced | Standing::Out { .. }) => return None,

        (Condition::Healthy, Standing::Reduced) => (Standing::Serving, "answers again, gets its full share".into()),
        (Condition::Healthy, Standing::Out { .. }) => {
            let gate_s = recovery.gate_for(region.flaps) / 1_000;
            (Standing::Gated { since_ms: now_ms }, format!("healthy again, must stay so for {gate_s} s"))
        }
        (Condition::Healthy, Standing::Ramping { step, since_ms }) => {
            match recovery.advance(*step, *since_ms, now_ms) {
                RampMove::Hold => return None,
                RampMove::Step(step) => {
                    let (number, of) = (step + 1, recovery.steps.len());
                    let reason = format!("ramps up to {} % (step {number} of {of})", recovery.percent_at(step));
                    (Standing::Ramping { step, since_ms: now_ms }, reason)
                }
                RampMove::Full => (Standing::Serving, "ramp complete, gets its full share".into()),
            }
        }
        (Condition::Healthy, Standing::Serving) => {
            if region.flaps == 0 || now_ms.saturating_sub(region.failed_ms) < recovery.forget_flaps_ms {
                return None;
            }
            region.flaps = 0;
            (Standing::Serving, "its failures are forgotten".into())
        }
        (Condition::Healthy, Standing::Gated { .. }) => return None,
    };
    region.standing = standing;
    Some(reason)
}

/// Since when the region has waited, if its gate may open.
fn gate_passed(region: &RegionPlan, input: &RegionInput, recovery: &RecoveryPolicy, now_ms: u64) -> Option<u64> {
    let Standing::Gated { since_ms } = region.standing else { return None };
    let has_waited = now_ms.saturating_sub(since_ms) >= recovery.gate_for(region.flaps);
    (has_waited && input.condition == Condition::Healthy && input.is_complete).then_some(since_ms)
}

/// The guard: sees to it that the answer is never empty. The place where further limits on automation belong.
///
/// A failed region loses its traffic as long as anybody else can carry it, however many have failed already: an
/// endpoint that refuses connections must not be answered. Where nobody would be left:
/// 1. regions that wait outside are let in without their gate, the healthiest kind only; they still climb the ramp, so
///    that they give way gently to others that return;
/// 2. failing that, the last shares stay: all look down, and then it is likelier that the observers are at fault, and
///    in any case there is nowhere better to go. A region that merely drains outranks one that failed.
fn keep_somebody(draft: &mut Draft<'_>, current: Option<&Plan>) {
    if draft.total() > 0 || draft.regions.values().all(|region| region.addresses.is_empty()) {
        return;
    }
    let carried: Vec<(&RegionName, &RegionPlan)> = current
        .iter()
        .flat_map(|plan| plan.carrying())
        .filter(|(name, _)| draft.regions.get(*name).is_some_and(|region| !region.addresses.is_empty()))
        .collect();
    let is =
        |name: &RegionName, condition| draft.inputs.regions.get(name).is_some_and(|input| input.condition == condition);
    let merely_drains = carried.iter().any(|(name, _)| is(name, Condition::Draining));

    let mut kinds = vec![Condition::Healthy, Condition::Suspect];
    if !merely_drains {
        kinds.push(Condition::Unknown);
    }
    for kind in kinds {
        let waiting: Vec<RegionName> = draft
            .regions
            .iter()
            .filter(|(name, region)| is(name, kind) && !region.addresses.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        if !waiting.is_empty() {
            for name in waiting {
                draft.enter_ramp(&name, "nobody else is left, so its gate opens early");
            }
            draft.share_out();
            return;
        }
    }

    let kept: Vec<(RegionName, RegionPlan)> = carried
        .into_iter()
        .filter(|(name, _)| !merely_drains || is(name, Condition::Draining))
        .map(|(name, region)| (name.clone(), region.clone()))
        .collect();
    draft.reasons.push("every region looks down, the last shares stay".into());
    if kept.is_empty() {
        // No last shares either: a first plan, or the one region that carried has left the mesh.
        let drains = |(name, region): &(&RegionName, &mut RegionPlan)| {
            is(name, Condition::Draining) && !region.addresses.is_empty()
        };
        let prefers_draining = draft.regions.iter_mut().any(|entry| drains(&entry));
        let before = draft.regions.clone();
        for entry in draft.regions.iter_mut().filter(|entry| !prefers_draining || drains(entry)) {
            entry.1.standing = Standing::Serving;
        }
        draft.share_out();
        for (region, before) in draft.regions.values_mut().zip(before.into_values()) {
            if region.weight_bp == 0 {
                *region = before;
            }
        }
        return;
    }
    for (name, last) in kept {
        if let Some(region) = draft.regions.get_mut(&name) {
            *region = RegionPlan { addresses: std::mem::take(&mut region.addresses), ..last };
        }
    }
}
