//! Limits concurrent requests to what the regions have proved able to serve; others queue.
//!
//! The rules are those of [`ReleaseWindow`]. A request holds its pass from before the search for a
//! region until the answer begins. So during an outage a few requests search and all others wait;
//! once a region answers, they are released at the pace of its answers.

use super::metrics::FrontDoorMetrics;
use parking_lot::Mutex;
use regionmesh_core::admission::retry::ReleaseWindow;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep, sleep_until},
};

/// If every admitted request was sent and answers are slow, one more is admitted per interval.
const PACE: Duration = Duration::from_millis(20);

pub(super) struct Admission {
    places: Arc<Semaphore>,
    state: Mutex<State>,
    metrics: FrontDoorMetrics,
}

struct State {
    window: ReleaseWindow,
    /// Permits still held although the window has shrunk: they are not returned when released.
    surplus: usize,
    /// Passes whose request was not sent yet, or must be sent again.
    unsent: usize,
    paced: Instant,
}

/// One request's permission to be in progress.
pub(super) struct Pass {
    admission: Arc<Admission>,
    permit: Option<OwnedSemaphorePermit>,
    epoch: u64,
    is_sent: bool,
}

impl Admission {
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

    /// Waits for a permit, first come, first served; none after the deadline.
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

        let mut state = self.state.lock();
        state.unsent += 1;

        let epoch = state.window.epoch();
        Some(Pass {
            admission: self.clone(),
            permit: Some(permit),
            epoch,
            is_sent: false,
        })
    }

    /// Admits one more if all admitted requests were sent and no answer frees a permit.
    fn pace(&self) {
        let mut state = self.state.lock();
        if state.unsent == 0 && state.paced.elapsed() >= PACE {
            self.change(&mut state, ReleaseWindow::answered);
        }
    }

    fn change(&self, state: &mut State, change: impl FnOnce(&mut ReleaseWindow)) {
        let before = state.window.size();
        change(&mut state.window);

        let after = state.window.size();
        if after > before {
            let absorbed = state.surplus.min(after - before);
            state.surplus -= absorbed;
            self.places.add_permits(after - before - absorbed);
        } else {
            let taken_away = self.places.forget_permits(before - after);
            state.surplus += before - after - taken_away;
        }

        state.paced = Instant::now();
        self.metrics.window.set(after as i64);
    }
}

impl Pass {
    /// The request was sent to a region.
    pub(super) fn sent(&mut self) {
        if !self.is_sent {
            self.admission.state.lock().unsent -= 1;
            self.is_sent = true;
        }
    }

    /// A region answered it.
    pub(super) fn answered(&mut self) {
        self.report(ReleaseWindow::answered);
    }

    /// A region answered that it is overloaded.
    pub(super) fn overloaded(&mut self) {
        let epoch = self.epoch;
        self.report(|window| window.overloaded(epoch));
        self.again();
    }

    /// No region was reached, or the connection broke.
    pub(super) fn lost(&mut self) {
        let epoch = self.epoch;
        self.report(|window| window.lost(epoch));
        self.again();
    }

    fn report(&self, change: impl FnOnce(&mut ReleaseWindow)) {
        let mut state = self.admission.state.lock();
        self.admission.change(&mut state, change);
    }

    /// The request must be sent again; its next outcome counts.
    pub(super) fn again(&mut self) {
        let mut state = self.admission.state.lock();
        self.epoch = state.window.epoch();
        state.unsent += usize::from(self.is_sent);
        self.is_sent = false;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.admission.state.lock();
        state.unsent -= usize::from(!self.is_sent);
        if state.surplus > 0 {
            state.surplus -= 1;
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
    }
}
