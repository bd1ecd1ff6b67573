//! A client that queries one DNS server continuously, and records each answer and its time.

use crate::mesh::{SERVICE, TestMesh};
use parking_lot::Mutex;
use regionmesh::local_mesh::{layout::LocalAgent, measure};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Pause between two questions.
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// A resolver asks another server after a while; ours must answer long before.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

type Answers = Vec<(Duration, Result<Vec<IpAddr>, String>)>;

/// Asks one server for the service, continuously, until it is finished or dropped.
pub struct Watch {
    server: SocketAddr,
    begin: Instant,
    answers: Arc<Mutex<Answers>>,
    stop: CancellationToken,
    asking: AbortOnDropHandle<()>,
}

impl Watch {
    /// Starts asking `server`.
    pub fn start(server: SocketAddr) -> Self {
        let begin = Instant::now();
        let answers = Arc::<Mutex<Answers>>::default();
        let stop = CancellationToken::new();
        let written = answers.clone();
        let stopped = stop.clone();
        let asking = tokio::spawn(async move {
            while !stopped.is_cancelled() {
                let answer = measure::resolve(server, SERVICE, QUERY_TIMEOUT).await;
                written.lock().push((begin.elapsed(), answer));
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        });

        Self {
            server,
            begin,
            answers,
            stop,
            asking: AbortOnDropHandle::new(asking),
        }
    }

    /// Time since the start: the clock of the answers.
    pub fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    /// Waits for this many more answers.
    pub async fn more(&self, count: usize) {
        let wanted = self.answers.lock().len() + count;
        while self.answers.lock().len() < wanted {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Every address answered since `begin`, and how many answers these were.
    pub fn since(&self, begin: Duration) -> (usize, BTreeSet<IpAddr>) {
        let answers = self.answers.lock();
        let since: Vec<_> = answers.iter().filter(|(at, _)| *at >= begin).collect();
        (
            since.len(),
            since
                .iter()
                .filter_map(|(_, answer)| answer.as_ref().ok())
                .flatten()
                .copied()
                .collect(),
        )
    }

    /// When `address` was last among the answers.
    pub fn last_with(&self, address: IpAddr) -> Option<Duration> {
        let answers = self.answers.lock();
        let with = |answer: &Result<Vec<IpAddr>, String>| {
            answer.as_ref().is_ok_and(|found| found.contains(&address))
        };

        answers
            .iter()
            .rev()
            .find(|(_, answer)| with(answer))
            .map(|(at, _)| *at)
    }

    /// Stops, and fails if any answer was missing or empty.
    pub async fn finish_without_fault(self) {
        self.stop.cancel();
        self.asking.await.expect("the asking task");

        let answers = self.answers.lock();
        let faults: Vec<_> = answers
            .iter()
            .filter(|(_, answer)| !answer.as_ref().is_ok_and(|found| !found.is_empty()))
            .collect();

        assert!(
            faults.is_empty(),
            "{}: {} of {} answers: {faults:?}",
            self.server,
            faults.len(),
            answers.len()
        );
    }
}

impl TestMesh {
    /// Starts asking every agent.
    pub fn watch_all(&self) -> Vec<Watch> {
        let servers = self.agents().iter().map(LocalAgent::dns);
        servers.map(Watch::start).collect()
    }
}
