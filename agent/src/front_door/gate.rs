//! Who may be under way: requests enter one after the other, as many at once as the regions have
//! shown to bear.
//!
//! The rules are those of [`ReleaseWindow`]. A request keeps its pass from before the search for a
//! region until the answer begins, so that during an outage a few requests search and all others
//! wait; once a region answers they follow at the pace of its answers.

use super::metrics::FrontDoorMetrics;
use regionmesh_core::admission::retry::ReleaseWindow;
use std::{
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, sleep_until},
};

/// Where every request under way was sent and answers are slow, one more may follow each time this
/// has passed.
const PACE: Duration = Duration::from_millis(20);

pub(super) struct Gate {
    places: Arc<Semaphore>,
    state: Mutex<State>,
    metrics: FrontDoorMetrics,
}

struct State {
    window: ReleaseWindow,
    /// Places that are taken and were given up since: they are not free when they are left.
    surplus: usize,
    /// Passes whose request was not sent yet, or has to be sent again.
    unsent: usize,
    paced: Instant,
}

/// One request's permission to be under way.
pub(super) struct Pass {
    gate: Arc<Gate>,
    permit: Option<OwnedSemaphorePermit>,
    epoch: u64,
    is_sent: bool,
}

impl Gate {
    pub(super) fn new(metrics: FrontDoorMetrics) -> Arc<Self> {
        let window = ReleaseWindow::default();
        let places = Arc::new(Semaphore::new(window.size()));
        metrics.window.set(window.size() as i64);

        let state = State {
            window,
            surplus: 0,
            unsent: 0,
            paced: Instant::now(),
        };

        Arc::new(Self {
            places,
            state: Mutex::new(state),
            metrics,
        })
    }

    /// Waits for a place, first come, first served; none if there was none until the deadline.
    pub(super) async fn enter(self: &Arc<Self>, deadline: Instant) -> Option<Pass> {
        let mut place = pin!(self.places.clone().acquire_owned());
        let permit = loop {
            tokio::select! {
                biased;
                permit = &mut place => break permit.ok()?,
                () = sleep_until(deadline) => return None,
                () = sleep(PACE) => self.pace(),
            }
        };

        let mut state = self.state();
        state.unsent += 1;

        let epoch = state.window.epoch();
        Some(Pass {
            gate: self.clone(),
            permit: Some(permit),
            epoch,
            is_sent: false,
        })
    }

    /// One more, where those under way were all sent and no answer makes room.
    fn pace(&self) {
        let mut state = self.state();
        if state.unsent == 0 && state.paced.elapsed() >= PACE {
            self.change(&mut state, ReleaseWindow::answered);
        }
    }

    fn change(&self, state: &mut State, change: impl FnOnce(&mut ReleaseWindow)) {
        let before = state.window.size();
        change(&mut state.window);

        let after = state.window.size();
        if after > before {
            let kept = state.surplus.min(after - before);
            state.surplus -= kept;
            self.places.add_permits(after - before - kept);
        } else {
            let taken_away = self.places.forget_permits(before - after);
            state.surplus += before - after - taken_away;
        }

        state.paced = Instant::now();
        self.metrics.window.set(after as i64);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// The request is on its way to a region.
    pub(super) fn sent(&mut self) {
        if !self.is_sent {
            self.gate.state().unsent -= 1;
            self.is_sent = true;
        }
    }

    /// A region answered it.
    pub(super) fn answered(&mut self) {
        self.report(ReleaseWindow::answered);
    }

    /// A region answered that it can't now.
    pub(super) fn overloaded(&mut self) {
        let epoch = self.epoch;
        self.report(|window| window.overloaded(epoch));
        self.again();
    }

    /// No region was reached, or the one that had it was lost.
    pub(super) fn lost(&mut self) {
        let epoch = self.epoch;
        self.report(|window| window.lost(epoch));
        self.again();
    }

    fn report(&self, change: impl FnOnce(&mut ReleaseWindow)) {
        let mut state = self.gate.state();
        self.gate.change(&mut state, change);
    }

    /// It has to be sent once more; what it reports then is news.
    pub(super) fn again(&mut self) {
        let mut state = self.gate.state();
        self.epoch = state.window.epoch();
        state.unsent += usize::from(self.is_sent);
        self.is_sent = false;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.gate.state();
        state.unsent -= usize::from(!self.is_sent);
        if state.surplus > 0 {
            state.surplus -= 1;
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
    }
}
