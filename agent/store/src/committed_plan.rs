//! The last committed plan on the agent's disk, so that its DNS can answer from it after a restart
//! without peers.
//!
//! A cache: the register is authoritative, and without the file the agent only has to wait for a
//! peer.

use regionmesh_protocol::{
    codec::{self, CodecError},
    plan::CommittedPlan,
    register::certificate::AgentSignature,
};
use regionmesh_runtime::files::replace_file;
use serde::{Deserialize, Serialize};
use std::{
    fs::File,
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

/// Name of the file in the data directory.
pub(crate) const FILE_NAME: &str = "committed-plan";

const CHECKSUM_BYTES: usize = 32;
/// Version of the plan layout. Change it with the layout: other layouts may decode to garbage.
const LAYOUT: &str = "regionmesh committed plan, layout 7";

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPlan {
    pub committed: CommittedPlan,
    /// By the agent that saved it, which knew it to be committed.
    pub confirmation: Option<AgentSignature>,
}

/// The checksum of a plan in the current layout.
fn checksum(body: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_derive_key(LAYOUT);
    hasher.update(body);
    hasher.finalize()
}

/// Why the file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CommittedPlanError {
    /// An operation on the file failed.
    #[error("cannot {action} {path}: {error}")]
    Io {
        /// What was tried.
        action: &'static str,
        path: PathBuf,
        error: std::io::Error,
    },
    /// Truncated or altered.
    #[error(
        "{path} is damaged (its checksum is wrong); it is ignored and overwritten by the \
            next plan"
    )]
    Damaged { path: PathBuf },
    /// Written by a version with another plan layout.
    #[error(
        "{path} was written by another version of regionmesh; it is ignored and overwritten \
            by the next plan"
    )]
    OtherLayout { path: PathBuf },
    /// Not a plan, or too large.
    #[error("{path}: {error}")]
    Codec { path: PathBuf, error: CodecError },
}

/// Reads the plan in `data_dir`; none if none was saved yet.
pub fn load_committed_plan(data_dir: &Path) -> Result<Option<SavedPlan>, CommittedPlanError> {
    let path = data_dir.join(FILE_NAME);
    let mut bytes = Vec::new();
    let limit = (codec::MESSAGE_LIMIT + CHECKSUM_BYTES + 1) as u64;

    match File::open(&path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(CommittedPlanError::Io {
                action: "read",
                path,
                error,
            });
        }
    }

    match bytes.split_at_checked(CHECKSUM_BYTES) {
        Some((found, body)) if checksum(body).as_bytes() == found => codec::decode(body)
            .map(Some)
            .map_err(|error| CommittedPlanError::Codec { path, error }),
        // Layout 1 had a checksum without a name.
        Some((found, body)) if blake3::hash(body).as_bytes() == found => {
            Err(CommittedPlanError::OtherLayout { path })
        }
        _ => Err(CommittedPlanError::Damaged { path }),
    }
}

/// Saves `plan` in `data_dir`.
pub fn save_committed_plan(data_dir: &Path, plan: &SavedPlan) -> Result<(), CommittedPlanError> {
    let path = data_dir.join(FILE_NAME);
    let body = codec::encode(plan).map_err(|error| CommittedPlanError::Codec {
        path: path.clone(),
        error,
    })?;
    let content = [checksum(&body).as_bytes(), &body[..]].concat();
    let written = std::fs::create_dir_all(data_dir).and_then(|()| replace_file(&path, &content));

    written.map_err(|error| CommittedPlanError::Io {
        action: "write",
        path,
        error,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use regionmesh_protocol::{
        plan::Plan,
        register::ballot::{Ballot, Stamp},
    };

    fn plan() -> SavedPlan {
        let ballot = Ballot {
            number: 3,
            agent: "r/a".parse().unwrap(),
            boot: 1,
        };

        let signed = AgentSignature {
            agent: "r/a".parse().unwrap(),
            chain: vec![vec![1; 20]],
            signature: vec![2; 8],
        };
        let committed = CommittedPlan {
            stamp: Stamp { ballot, seq: 7 },
            plan: Plan {
                reason: "first".into(),
                ..Plan::default()
            },
            certificate: Default::default(),
        };

        SavedPlan {
            committed,
            confirmation: Some(signed),
        }
    }

    #[test]
    fn a_saved_plan_is_loaded_and_none_before() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(load_committed_plan(dir.path()).unwrap(), None);
        save_committed_plan(dir.path(), &plan()).unwrap();
        save_committed_plan(dir.path(), &plan()).unwrap();
        assert_eq!(load_committed_plan(dir.path()).unwrap(), Some(plan()));
    }

    #[test]
    fn a_plan_of_an_older_layout_is_reported_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);

        // In the first layout, although these bytes would decode.
        let body = codec::encode(&plan()).unwrap();
        std::fs::write(&path, [blake3::hash(&body).as_bytes(), &body[..]].concat()).unwrap();

        let error = load_committed_plan(dir.path()).unwrap_err();
        assert!(
            error.to_string().contains("another version of regionmesh"),
            "{error}"
        );

        save_committed_plan(dir.path(), &plan()).unwrap();
        assert_eq!(load_committed_plan(dir.path()).unwrap(), Some(plan()));
    }

    #[test]
    fn a_file_truncated_or_altered_anywhere_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        save_committed_plan(dir.path(), &plan()).unwrap();

        let path = dir.path().join(FILE_NAME);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            std::fs::write(&path, &good[..at]).unwrap();
            assert!(load_committed_plan(dir.path()).is_err(), "cut at {at}");

            let mut altered = good.clone();
            altered[at] ^= 1;
            std::fs::write(&path, altered).unwrap();
            assert!(load_committed_plan(dir.path()).is_err(), "altered at {at}");
        }
    }
}
