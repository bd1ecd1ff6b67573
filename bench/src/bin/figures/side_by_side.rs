//! Measures several meshes concurrently: divides rounds among them and combines the results.
//!
//! A round is mostly waiting, and an idle agent needs almost no CPU, so a few meshes hardly disturb
//! each other. Kills and the restarts after them do need CPU, so kills are spaced out. The report
//! includes the CPU usage of the machine, so that overloaded runs can be recognised.

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

/// Shortest time between kills of different meshes.
const GAP: Duration = Duration::from_millis(400);
/// Most meshes: each has its own addresses, numbered by one byte, with two agents per region.
pub(crate) const MESHES_MAX: u8 = 100;

/// The remaining rounds, shared by all meshes.
pub(crate) struct Rounds {
    name: &'static str,
    total: u32,
    taken: AtomicU32,
    done: AtomicU32,
    next_turn: Mutex<Instant>,
}

impl Rounds {
    /// Takes the next round; `None` once all are taken.
    pub(crate) fn take(&self) -> Option<u32> {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        (number < self.total).then_some(number)
    }

    /// Waits until the last kill in any mesh is [`GAP`] ago.
    pub(crate) async fn turn(&self) {
        let mut next = self.next_turn.lock().await;
        let turn = (*next).max(Instant::now());
        *next = turn + GAP;
        drop(next);
        tokio::time::sleep_until(turn.into()).await;
    }

    /// Counts a round as done, and prints progress every ten rounds.
    pub(crate) fn done(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(10) || done == self.total {
            eprintln!("  {}: {done} of {} rounds", self.name, self.total);
        }
    }
}

/// Runs `measure` on `meshes` meshes, which share `total` rounds, and returns their results. If a
/// mesh fails, the others take over its remaining rounds, but the report counts as failed.
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
        match ended.context("the measurement panicked").flatten() {
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
mod tests;
