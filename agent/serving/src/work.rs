//! Computations of the engine, which can't be interrupted from outside: each checks a [`Control`]
//! between two operators, and is abandoned when its time is up or its caller has left.

use prometheus::IntGauge;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

const RUNNING: u8 = 0;
const FINISHED: u8 = 1;
const ABANDONED: u8 = 2;

/// A computation was cancelled or ran out of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the computation was cancelled: its time is up, or its caller has left")]
pub(crate) struct Stopped;

/// Shared by a computation and its caller.
#[derive(Debug)]
pub(crate) struct Control {
    is_cancelled: AtomicBool,
    state: AtomicU8,
    deadline: Option<Instant>,
}

impl Control {
    /// A computation that may run until `deadline`.
    pub(crate) fn new(deadline: Option<Instant>) -> Arc<Self> {
        Arc::new(Self {
            is_cancelled: AtomicBool::new(false),
            state: AtomicU8::new(RUNNING),
            deadline,
        })
    }

    /// Called by the computation: whether it may continue.
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        let is_late = self
            .deadline
            .is_some_and(|deadline| Instant::now() >= deadline);
        if is_late || self.is_cancelled.load(SeqCst) {
            Err(Stopped)
        } else {
            Ok(())
        }
    }

    fn finish(&self, abandoned: &IntGauge) {
        if self.state.swap(FINISHED, SeqCst) == ABANDONED {
            abandoned.dec();
        }
    }

    fn abandon(&self, abandoned: &IntGauge) {
        self.is_cancelled.store(true, SeqCst);
        if self
            .state
            .compare_exchange(RUNNING, ABANDONED, SeqCst, SeqCst)
            .is_ok()
        {
            abandoned.inc();
        }
    }
}

/// The caller's side. Abandons the computation if dropped before it ends.
#[derive(Debug)]
pub(crate) struct Waiter {
    control: Arc<Control>,
    abandoned: IntGauge,
}

/// The computation's side, dropped when it ends for any reason.
#[derive(Debug)]
pub(crate) struct Worker {
    control: Arc<Control>,
    abandoned: IntGauge,
}

/// Both sides of a computation. `abandoned` counts those that run without a caller.
pub(crate) fn pair(control: &Arc<Control>, abandoned: &IntGauge) -> (Waiter, Worker) {
    // Counted here and not only at the thread's exit, so that each is counted exactly once.
    (
        Waiter {
            control: control.clone(),
            abandoned: abandoned.clone(),
        },
        Worker {
            control: control.clone(),
            abandoned: abandoned.clone(),
        },
    )
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.control.abandon(&self.abandoned);
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.control.finish(&self.abandoned);
    }
}

/// Why a computation in a dedicated thread gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WorkError {
    /// It did not end in time, and was abandoned.
    #[error("not done within {} s", .0.as_secs_f32())]
    Overrun(Duration),
    /// The thread could not be started, or ended without a result.
    #[error("its thread ended without a result: {0}")]
    Thread(String),
}

/// Runs `work` in a dedicated thread for at most `time`. A thread that takes longer blocks no
/// worker of the runtime; it is abandoned, and ends when it next checks its control.
pub(crate) async fn in_thread<T: Send + 'static>(
    time: Duration,
    abandoned: &IntGauge,
    work: impl FnOnce(&Control) -> T + Send + 'static,
) -> Result<T, WorkError> {
    let control = Control::new(Instant::now().checked_add(time));
    let (waiter, worker) = pair(&control, abandoned);
    let (answer, answered) = oneshot::channel();
    let thread = move || {
        let control: &Control = &worker.control;
        let result = work(control);
        // Before the answer, so that the caller finds it finished.
        drop(worker);
        let _ = answer.send(result);
    };

    let started = std::thread::Builder::new()
        .name("model-load".into())
        .spawn(thread);
    started.map_err(|error| WorkError::Thread(error.to_string()))?;

    let result = match tokio::time::timeout(time, answered).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => Err(WorkError::Thread(error.to_string())),
        Err(_) => Err(WorkError::Overrun(time)),
    };

    drop(waiter);
    result
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn gauge() -> IntGauge {
        IntGauge::new("abandoned", "Test.").unwrap()
    }

    async fn until_zero(gauge: &IntGauge) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while gauge.get() != 0 {
            assert!(
                Instant::now() < deadline,
                "{} are still counted",
                gauge.get()
            );

            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    #[tokio::test]
    async fn work_past_its_deadline_is_abandoned_and_ends_at_its_next_check() {
        let abandoned = gauge();
        let begin = Instant::now();
        let result = in_thread(Duration::from_millis(50), &abandoned, |control| {
            while control.check().is_ok() {
                std::thread::yield_now();
            }
        })
        .await;

        // Either side may come first.
        assert!(
            matches!(result, Ok(()) | Err(WorkError::Overrun(_))),
            "{result:?}"
        );

        assert!(begin.elapsed() < Duration::from_secs(5));
        until_zero(&abandoned).await;
    }

    #[tokio::test]
    async fn dropping_the_waiter_cancels_the_work_which_is_counted_until_it_ends() {
        let abandoned = gauge();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let work = in_thread(Duration::from_secs(60), &abandoned, move |control| {
            let _ = wait.recv();
            control.check()
        });
        let mut work = Box::pin(work);

        assert!(futures::poll!(work.as_mut()).is_pending());
        drop(work);
        assert_eq!(abandoned.get(), 1);
        go.send(()).unwrap();
        until_zero(&abandoned).await;
    }

    #[tokio::test]
    async fn finished_work_is_never_counted() {
        let abandoned = gauge();
        assert_eq!(
            in_thread(Duration::from_secs(60), &abandoned, |_| 7).await,
            Ok(7)
        );

        assert_eq!(abandoned.get(), 0);
    }
}
