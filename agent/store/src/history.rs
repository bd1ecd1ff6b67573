//! History of the committed plans that this agent saw, one JSON object per line, in its data
//! directory.
//!
//! Bounded: beyond [`PLANS_RETAINED`] plans and a quarter, the file is rewritten with the last
//! [`PLANS_RETAINED`]. Not a complete record: plans that arrive faster than the disk writes are
//! skipped, and the file may be deleted.

use regionmesh_protocol::plan::CommittedPlan;
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

/// Name of the file in the data directory.
pub(crate) const FILE_NAME: &str = "plan-history.jsonl";
/// Plans retained after the file is rewritten.
pub(crate) const PLANS_RETAINED: usize = 1_000;
/// Longest line read, bytes; a plan of 32 regions and 64 overrides has about 60 kB.
const LINE_MAX: u64 = 1 << 20;

/// One committed plan, and when this agent learned of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastPlan {
    /// By this agent's clock, Unix milliseconds.
    pub seen_ms: u64,
    pub committed: CommittedPlan,
}

/// The file, open for appending.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    file: File,
    lines: usize,
}

impl History {
    /// Opens or creates the file in `data_dir`. Ends a line that a crash truncated; readers skip
    /// it.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(data_dir)?;
        let path = data_dir.join(FILE_NAME);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        let mut lines = bytes.iter().filter(|byte| **byte == b'\n').count();

        if bytes.last().is_some_and(|last| *last != b'\n') {
            file.write_all(b"\n")?;
            lines += 1;
        }

        Ok(Self { path, file, lines })
    }

    /// Appends a plan.
    pub fn add(&mut self, past: &PastPlan) -> io::Result<()> {
        let mut line = serde_json::to_vec(past)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.lines += 1;

        if self.lines > PLANS_RETAINED + PLANS_RETAINED / 4 {
            self.shorten()
        } else {
            Ok(())
        }
    }

    fn shorten(&mut self) -> io::Result<()> {
        let plans = read_file(&self.path)?;
        let retained = &plans[plans.len().saturating_sub(PLANS_RETAINED)..];
        let new_path = self.path.with_extension("new");
        let mut file = File::create(&new_path)?;

        for past in retained {
            let mut line = serde_json::to_vec(past)?;
            line.push(b'\n');
            file.write_all(&line)?;
        }

        std::fs::rename(&new_path, &self.path)?;
        (self.file, self.lines) = (
            OpenOptions::new().append(true).open(&self.path)?,
            retained.len(),
        );

        Ok(())
    }
}

/// The last [`PLANS_RETAINED`] plans in `data_dir`, oldest first.
pub fn read_history(data_dir: &Path) -> io::Result<Vec<PastPlan>> {
    match read_file(&data_dir.join(FILE_NAME)) {
        Ok(mut plans) => {
            plans.drain(..plans.len().saturating_sub(PLANS_RETAINED));
            Ok(plans)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Every line that is a plan; others (truncated, or of an older layout) are skipped.
fn read_file(path: &Path) -> io::Result<Vec<PastPlan>> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut plans = Vec::new();
    let mut line = Vec::new();

    loop {
        line.clear();
        if reader
            .by_ref()
            .take(LINE_MAX)
            .read_until(b'\n', &mut line)?
            == 0
        {
            return Ok(plans);
        }

        if let Ok(past) = serde_json::from_slice(&line) {
            plans.push(past);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use regionmesh_protocol::{
        plan::{Plan, RegionPlan},
        register::ballot::{Ballot, Stamp},
    };

    fn past(seq: u64) -> PastPlan {
        let ballot = Ballot {
            number: 3,
            agent: "r/a".parse().unwrap(),
            boot: 1,
        };
        let regions = [("r".parse().unwrap(), RegionPlan::default())].into();
        let plan = Plan {
            regions,
            reason: format!("plan {seq}"),
            ..Plan::default()
        };

        PastPlan {
            seen_ms: seq,
            committed: CommittedPlan {
                stamp: Stamp { ballot, seq },
                plan,
                certificate: Default::default(),
            },
        }
    }

    #[test]
    fn plans_are_read_in_order_even_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_history(dir.path()).unwrap(), []);
        History::open(dir.path()).unwrap().add(&past(1)).unwrap();
        History::open(dir.path()).unwrap().add(&past(2)).unwrap();
        assert_eq!(read_history(dir.path()).unwrap(), [past(1), past(2)]);
    }

    #[test]
    fn a_truncated_line_loses_only_itself() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        History::open(dir.path()).unwrap().add(&past(1)).unwrap();

        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&bytes[..], &bytes[..bytes.len() / 2]].concat()).unwrap();
        History::open(dir.path()).unwrap().add(&past(3)).unwrap();
        assert_eq!(read_history(dir.path()).unwrap(), [past(1), past(3)]);
    }

    #[test]
    fn the_file_is_bounded_and_retains_the_latest_plans() {
        let dir = tempfile::tempdir().unwrap();
        let mut history = History::open(dir.path()).unwrap();
        let last = 3 * PLANS_RETAINED as u64;

        for seq in 1..=last {
            history.add(&past(seq)).unwrap();
        }

        let plans = read_history(dir.path()).unwrap();
        assert_eq!(
            (plans.len(), plans.last().unwrap().committed.stamp.seq),
            (PLANS_RETAINED, last)
        );

        let lines = std::fs::read_to_string(dir.path().join(FILE_NAME))
            .unwrap()
            .lines()
            .count();

        assert!(
            lines <= PLANS_RETAINED + PLANS_RETAINED / 4,
            "{lines} lines"
        );
    }
}
