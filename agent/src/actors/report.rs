//! How the work of IO actors ends.
//!
//! Each piece of work that the core asks for carries a [`Report`], which reports exactly one
//! input. Restarts follow from that:
//!
//! - An IO actor that restarts loses its work, queued or running: each dropped report tells the
//!   core that its work was lost. The same happens to work for an actor that does not run.
//! - When the core actor restarts, the work that it asked for ends with it: the new one starts
//!   over with [`regionmesh_core::agent::Input::Restarted`], and hears of nothing that it did not
//!   ask for.

use super::messages::CoreMessage;
use ractor::ActorRef;
use regionmesh_core::agent::Input;
use tokio_util::sync::CancellationToken;

/// Reports how a piece of work ended to the core actor that asked for it.
#[derive(Debug)]
pub struct Report {
    core: ActorRef<CoreMessage>,
    /// Cancelled when that core actor ends.
    ended: CancellationToken,
    /// The work has no result; taken with the report.
    lost: Option<Input>,
}

impl Report {
    /// `ended` is cancelled when the core actor ends; `lost` says that the work has no result.
    pub(super) fn new(
        core: ActorRef<CoreMessage>,
        ended: CancellationToken,
        lost: impl Into<Input>,
    ) -> Self {
        Self {
            core,
            ended,
            lost: Some(lost.into()),
        }
    }

    /// Does the work and reports its result; ends early if the core actor does.
    pub(super) async fn run<R: Into<Input>>(mut self, work: impl Future<Output = R>) {
        let ended = self.ended.clone();
        if let Some(result) = ended.run_until_cancelled(work).await {
            self.lost = Some(result.into());
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(input) = self.lost.take() {
            // The core actor may have ended.
            let _ = self.core.cast(CoreMessage::input(input));
        }
    }
}
