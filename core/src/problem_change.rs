//! Changes of an agent's problems, as parts of the core decide them.

use regionmesh_protocol::status::problem::ProblemKind;
use std::collections::BTreeSet;

/// A change of the problems that an agent publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemChange {
    /// This agent has this problem.
    Set {
        kind: ProblemKind,
        subject: String,
        detail: String,
    },
    /// Problems of this kind with other subjects are over.
    Retain {
        kind: ProblemKind,
        subjects: BTreeSet<String>,
    },
}
