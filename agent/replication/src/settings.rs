//! `[replication]`: copying of models.

use serde::{Deserialize, Serialize};

/// Copying of models.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// How often the region's store is read for changes made by others, milliseconds.
    pub rescan_ms: u64,
    /// Versions fetched at once.
    pub parallel_versions: usize,
    /// Bulk streams per version.
    pub parallel_streams: usize,
    /// An upload that nothing was added to for this long is dropped, milliseconds.
    pub upload_idle_ms: u64,
    /// How long a version of 64 MiB or more is at most waited for that is cheaper to fetch from
    /// another region once that has it, seconds; 0: it is fetched at once from where it is.
    pub relay_wait_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rescan_ms: 10_000,
            parallel_versions: 2,
            parallel_streams: 4,
            upload_idle_ms: 15 * 60 * 1_000,
            relay_wait_s: 120,
        }
    }
}

impl Settings {
    /// Every fault, as `place: what is wrong`.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.rescan_ms < 100 {
            let given = self.rescan_ms;
            faults.push(format!("replication.rescan_ms: {given} is less than 100"));
        }

        if self.parallel_versions == 0 || self.parallel_streams == 0 {
            faults.push(
                "replication.parallel_versions and parallel_streams must be at least 1".into(),
            );
        }

        if self.relay_wait_s > 3_600 {
            let given = self.relay_wait_s;
            faults.push(format!(
                "replication.relay_wait_s: {given} is more than 3600"
            ));
        }

        if self.upload_idle_ms < 1_000 {
            let given = self.upload_idle_ms;
            faults.push(format!(
                "replication.upload_idle_ms: {given} is less than 1000"
            ));
        }

        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_each_fault_is_reported() {
        assert_eq!(Settings::default().faults(), [""; 0]);
        let faulty = Settings {
            rescan_ms: 99,
            parallel_versions: 0,
            parallel_streams: 1,
            upload_idle_ms: 999,
            relay_wait_s: 3_601,
        };

        assert_eq!(
            faulty.faults(),
            [
                "replication.rescan_ms: 99 is less than 100",
                "replication.parallel_versions and parallel_streams must be at least 1",
                "replication.relay_wait_s: 3601 is more than 3600",
                "replication.upload_idle_ms: 999 is less than 1000"
            ]
        );
    }
}
