//! What other parts of the agent report, as inputs of the leader part.

use crate::snapshots::Snapshots;
use regionmesh_core::{
    gossip::BoardView,
    health::verdict::RegionVerdict,
    leader::{Contact, Input},
    planning::freeze::OwnView,
};
use regionmesh_protocol::identity::RegionName;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::watch;

/// The snapshots that the leader part reads.
pub(super) struct Inputs {
    snapshots: Snapshots,
    board: watch::Receiver<Arc<BoardView>>,
    verdicts: watch::Receiver<Arc<BTreeMap<RegionName, RegionVerdict>>>,
    own_view: watch::Receiver<Arc<BTreeMap<RegionName, OwnView>>>,
}

impl Inputs {
    pub(super) fn new(snapshots: Snapshots) -> Self {
        let mut inputs = Self {
            board: snapshots.board.subscribe(),
            verdicts: snapshots.verdicts.subscribe(),
            own_view: snapshots.own_view.subscribe(),
            snapshots,
        };

        inputs.board.mark_changed();
        inputs.verdicts.mark_changed();
        inputs.own_view.mark_changed();
        inputs
    }

    /// What changed since the last call.
    pub(super) fn news(&mut self) -> Vec<Input> {
        let contact = Contact {
            is_current: *self.snapshots.is_current.borrow(),
            resumed: *self.snapshots.resumed.borrow(),
            heard: *self.snapshots.heard.borrow(),
        };
        let peers = self.snapshots.clocks.take_heard();

        let board = changed(&mut self.board).map(Input::Board);
        let verdicts = changed(&mut self.verdicts).map(Input::Verdicts);
        let own_view = changed(&mut self.own_view).map(Input::OwnView);

        [board, verdicts, own_view, Some(Input::Contact(contact))]
            .into_iter()
            .flatten()
            .chain(peers.into_iter().map(Input::PeerClock))
            .collect()
    }
}

/// The value, if it changed. The senders live in `Snapshots`, so they are never gone.
fn changed<T: Clone>(receiver: &mut watch::Receiver<T>) -> Option<T> {
    receiver
        .has_changed()
        .unwrap_or(false)
        .then(|| receiver.borrow_and_update().clone())
}
