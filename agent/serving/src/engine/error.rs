//! Why the engine failed, and how its panics are caught.

use crate::{bounds::TooLarge, work::Stopped};
use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};
use tract_onnx::prelude::TractError;

/// Why a model or an inference failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EngineError {
    /// The file is not a model that the engine can run; it never will be.
    #[error("{0}")]
    Model(String),
    /// No plan for these shapes: the model's graph does not allow them, or tract can't handle it.
    #[error("the model can't be run with inputs of these shapes: {0}")]
    Shapes(String),
    /// A tensor would be larger than is allowed.
    #[error("{0}")]
    TooLarge(TooLarge),
    /// It was cancelled, or its time was up.
    #[error("{0}")]
    Stopped(Stopped),
    /// The inference failed.
    #[error("the inference failed: {0}")]
    Inference(String),
    /// The engine panicked.
    #[error("the inference engine panicked: {0}")]
    Panic(String),
}

impl EngineError {
    /// The limit that stopped the engine, if any; else `other` with the text.
    pub(super) fn from_tract(error: &TractError, other: fn(String) -> Self) -> Self {
        let cause = error.root_cause();
        match (
            cause.downcast_ref::<TooLarge>(),
            cause.downcast_ref::<Stopped>(),
        ) {
            (Some(too_large), _) => Self::TooLarge(too_large.clone()),
            (None, Some(stopped)) => Self::Stopped(*stopped),
            (None, None) => other(format!("{error:#}")),
        }
    }

    /// Whether one of our limits ended it: then other inputs would prove nothing.
    pub(super) fn is_own_limit(&self) -> bool {
        matches!(self, Self::TooLarge(_) | Self::Stopped(_))
    }
}

/// Runs `work` and turns a panic into an error.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    // Unwind-safe: a panic can only interrupt changes of the plans, which are added as a whole
    // under a lock.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(EngineError::Panic(panic_text(&*panic))))
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into())
}
