//! What other parts of the agent report, as inputs of the leader part.

use crate::snapshots::{Feed, Snapshots};
use regionmesh_core::{
    gossip::BoardView,
    health::verdict::RegionVerdict,
    leader::{Contact, Input},
    planning::freeze::OwnView,
};
use regionmesh_protocol::identity::RegionName;
use std::{collections::BTreeMap, sync::Arc};

/// The snapshots that the leader part reads.
pub(super) struct Inputs {
    snapshots: Snapshots,
    board: Feed<Arc<BoardView>>,
    verdicts: Feed<Arc<BTreeMap<RegionName, RegionVerdict>>>,
    own_view: Feed<Arc<BTreeMap<RegionName, OwnView>>>,
}

impl Inputs {
    pub(super) fn new(snapshots: Snapshots) -> Self {
        Self {
            board: Feed::new(snapshots.board.subscribe()),
            verdicts: Feed::new(snapshots.verdicts.subscribe()),
            own_view: Feed::new(snapshots.own_view.subscribe()),
            snapshots,
        }
    }

    /// What changed since the last call.
    pub(super) fn news(&mut self) -> Vec<Input> {
        let contact = Contact {
            is_current: *self.snapshots.is_current.borrow(),
            resumed: *self.snapshots.resumed.borrow(),
            heard: *self.snapshots.heard.borrow(),
        };
        let peers = self.snapshots.clocks.take_heard();

        let board = self.board.take().map(Input::Board);
        let verdicts = self.verdicts.take().map(Input::Verdicts);
        let own_view = self.own_view.take().map(Input::OwnView);

        [board, verdicts, own_view, Some(Input::Contact(contact))]
            .into_iter()
            .flatten()
            .chain(peers.into_iter().map(Input::PeerClock))
            .collect()
    }
}
