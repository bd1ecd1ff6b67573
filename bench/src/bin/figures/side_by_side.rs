//! Several meshes measured side by side: rounds are divided among them, what they found is put
//! together.
//!
//! A round is mostly waiting, and an idle agent costs next to nothing, so that meshes hardly see
//! each other as long as they are few. Kills are kept apart in time, since a kill and the restart
//! after it are what does cost; and how busy the machine was is told beside the figures, so that a
//! crowded run can be recognised.

use crate::report::Report;
use anyhow::{Context, Result};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// Between two kills of different meshes at least.
const GAP: Duration = Duration::from_millis(400);
/// Most meshes: each has addresses of its own, counted in one byte, and places for two agents a
/// region.
pub(crate) const MESHES_MAX: u8 = 100;

/// What is still to be done, shared by all meshes.
pub(crate) struct Rounds {
    name: &'static str,
    total: u32,
    taken: AtomicU32,
    done: AtomicU32,
    next_turn: Mutex<Instant>,
}

impl Rounds {
    /// The number of a round that nobody has taken; none: all are taken.
    pub(crate) fn take(&self) -> Option<u32> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        (number < self.total).then_some(number)
    }

    /// Waits until no other mesh was hurt a moment ago.
    pub(crate) async fn turn(&self) {
        let mut next = self.next_turn.lock().await;
        let turn = (*next).max(Instant::now());
        *next = turn + GAP;
        drop(next);
        tokio::time::sleep_until(turn.into()).await;
    }

    /// Counts a round as done, and tells now and then how far all are.
    pub(crate) fn done(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(10) || done == self.total {
            eprintln!("  {}: {done} of {} rounds", self.name, self.total);
        }
    }
}

/// Runs `measure` on so many meshes, which share `total` rounds; what each found. A mesh that fails
/// ends alone, the others do its rounds; it is told, and the report holds no more.
pub(crate) async fn side_by_side<T, F>(
    report: &mut Report,
    name: &'static str,
    meshes: u8,
    total: u32,
    measure: impl Fn(u8, Arc<Rounds>) -> F,
) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let meshes = u8::try_from(total)
        .unwrap_or(MESHES_MAX)
        .min(meshes)
        .min(MESHES_MAX);

    eprintln!("{name}: {total} rounds on {meshes} meshes ...");
    let taken = AtomicU32::new(0);
    let done = AtomicU32::new(0);
    let rounds = Arc::new(Rounds {
        name,
        total,
        taken,
        done,
        next_turn: Mutex::new(Instant::now()),
    });

    let begin = Instant::now();
    let ticks = ticks().ok();
    let running: Vec<_> = (0..meshes)
        .map(|number| tokio::spawn(measure(number, rounds.clone())))
        .collect();
    let mut found = Vec::new();
    let mut failed = Vec::new();

    for (number, ended) in futures::future::join_all(running)
        .await
        .into_iter()
        .enumerate()
    {
        match ended.context("the measurement broke off").flatten() {
            Ok(part) => found.push(part),
            Err(error) => failed.push(format!("mesh {number}: {error:#}")),
        }
    }

    let busy = ticks.and_then(|before| busy_percent(before, self::ticks().ok()?));
    let busy = busy.map_or_else(String::new, |percent| {
        format!(", the machine {percent:.0} % busy")
    });
    let done = rounds.done.load(Ordering::Relaxed);

    report.note(
        name,
        format!(
            "{done} rounds on {meshes} meshes in {:.0} s{busy}",
            begin.elapsed().as_secs_f64()
        ),
    );

    if !failed.is_empty() || done < total {
        report.failed(
            name,
            format!("{done} of {total} rounds done; {}", failed.join("; ")),
        );
    }

    found
}

/// The machine's time so far, idle and in all, in ticks of all processors (/proc/stat, proc(5)).
fn ticks() -> Result<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("cpu "))
        .context("no line cpu")?;
    let all = line
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<Vec<u64>, _>>()?;

    // user nice system idle iowait irq softirq steal; the guests' times after them are in user and
    // nice already.
    let idle = all.iter().skip(3).take(2).sum();
    Ok((idle, all.iter().take(8).sum()))
}

fn busy_percent(before: (u64, u64), after: (u64, u64)) -> Option<f64> {
    let idle = after.0.checked_sub(before.0)?;
    let all = after.1.checked_sub(before.1)?;
    (all > 0).then(|| 100.0 - idle as f64 / all as f64 * 100.0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_round_is_done_once_and_a_mesh_that_fails_is_told() {
        let mut report = Report::default();
        let measure = |number: u8, rounds: Arc<Rounds>| async move {
            let mut mine = Vec::new();
            while let Some(round) = rounds.take() {
                anyhow::ensure!(number != 1, "broken");
                mine.push(round);
                rounds.done();
                tokio::task::yield_now().await;
            }

            Ok(mine)
        };

        let mut all = side_by_side(&mut report, "rounds", 1, 20, measure)
            .await
            .concat();
        all.sort_unstable();
        assert_eq!(all, (0..20).collect::<Vec<_>>());
        assert!(report.holds());
        side_by_side(&mut report, "rounds", 3, 200, measure).await;
        assert!(!report.holds());
    }

    #[tokio::test]
    async fn turns_are_apart() {
        let taken = AtomicU32::new(0);
        let done = AtomicU32::new(0);
        let rounds = Rounds {
            name: "",
            total: 0,
            taken,
            done,
            next_turn: Mutex::new(Instant::now()),
        };

        let begin = Instant::now();
        for _ in 0..4 {
            rounds.turn().await;
        }
        assert!(begin.elapsed() >= GAP * 3, "{:?}", begin.elapsed());
    }

    #[test]
    fn the_machine_tells_how_busy_it_was() {
        let before = ticks().unwrap();
        assert!(before.0 > 0 && before.0 <= before.1, "{before:?}");
        assert_eq!(busy_percent((10, 100), (20, 200)), Some(90.0));
        assert_eq!(busy_percent((10, 100), (10, 100)), None);
    }
}
