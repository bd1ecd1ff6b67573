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

    pub(super) fn notice(&mut self, notice: impl Into<Notice>) {
        self.emit(Effect::Notice(notice.into()));
    }

    pub(super) fn count_refusal(&mut self, reason: Refusal) {
        self.emit(Effect::CountRefusal(reason));
    }
}
