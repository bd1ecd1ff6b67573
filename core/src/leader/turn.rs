//! One input's time, random numbers and effects.

use super::{
    notice::Notice,
    types::{Effect, Refusal},
};
use crate::now::Now;
use rand::Rng;

/// What handling one input needs.
pub(super) struct Turn<'a> {
    pub(super) now: Now,
    pub(super) rng: &'a mut dyn Rng,
    pub(super) out: &'a mut Vec<Effect>,
}

impl Turn<'_> {
    pub(super) fn emit(&mut self, effect: Effect) {
        self.out.push(effect);
    }

    /// Of the plans adopted since `begun` effects were emitted, DNS must answer the last alone: an
    /// earlier one is known to be replaced.
    pub(super) fn keep_last_plan(&mut self, begun: usize) {
        let is_plan = |effect: &Effect| matches!(effect, Effect::AdoptPlan(_));
        let last = self.out.iter().rposition(is_plan);
        let mut at = 0;
        self.out.retain(|effect| {
            let is_kept = at < begun || Some(at) == last || !is_plan(effect);
            at += 1;
            is_kept
        });
    }

    pub(super) fn notice(&mut self, notice: impl Into<Notice>) {
        self.emit(Effect::Notice(notice.into()));
    }

    pub(super) fn count_refusal(&mut self, reason: Refusal) {
        self.emit(Effect::CountRefusal(reason));
    }
}
