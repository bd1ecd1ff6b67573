//! States that a batch of runs must reach: a law that is never put to the test proves nothing.

use strum::{IntoStaticStr, VariantArray};

/// An interesting state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Sometimes {
    /// A leader was elected after the first.
    SecondElection,
    /// A leader was fenced by a higher ballot.
    Outranked,
    /// A leader lost its majority.
    LostMajority,
    /// A process died while a write of its own was on its way.
    DiedWhileWriting,
    /// Two agents of a region raced for one slot.
    SlotTaken,
    /// A write's reply was lost and its outcome read back.
    WriteReadBack,
    /// An acceptor lost its state and began a new incarnation.
    StateLost,
    /// The members of the register changed.
    MembersChanged,
    /// A plan took a region out.
    RegionOut,
    /// A region that was out serves fully again.
    RegionBack,
    /// Automation wanted more regions out than it may.
    Limited,
    /// All regions had failed.
    AllFailed,
    /// An order was acknowledged.
    OrderAcknowledged,
    /// An order was in effect when another leader was elected.
    OrderOutlivedLeader,
    /// An order gave way to survival.
    OrderYielded,
    /// Operators had drained every region.
    AllDrained,
    /// Operators had drained every region that worked, and users had to be sent to one of them.
    WorkingDrained,
    /// A process started with an old copy of its disk.
    OldDisk,
    /// A store refused as it ignores conditions.
    StoreRefused,
    /// A user reached a region that was down.
    UserFailed,
    /// A user was sent to another region than before.
    UserMoved,
    /// An agent began or ceased to hold links to other regions.
    GatewayChanged,
    /// A link was lost.
    LinkLost,
    /// A packet arrived twice.
    Duplicated,
    /// A publication was acknowledged.
    VersionPublished,
    /// A publication was refused: its name is taken, or belonged to another version.
    PublishRefused,
    /// A publisher learned that its version is stored under another name.
    NameTaken,
    /// A publication failed, or its outcome is unknown.
    PublishFailed,
    /// A process died in the middle of a publication.
    PublisherDied,
    /// A version was fetched from another region.
    VersionFetched,
    /// A fetch failed, to be tried again.
    FetchFailed,
    /// A fetch went on with the files of an earlier attempt.
    FetchResumed,
    /// A source did not deliver a chunk.
    ChunkRefused,
    /// The files of a version came from two agents.
    FetchedFromTwo,
    /// A version lost its name to one of another region.
    ConflictRenamed,
    /// A version was removed after its deletion.
    VersionDeleted,
    /// A deletion, rename or alias failed, to be tried again.
    ConvergeFailed,
    /// A catalogue could not be read, to be tried again.
    CatalogueUnread,
    /// The files of a writer that died were removed.
    AbandonedCleaned,
    /// Files that a store had lost were fetched again.
    LossRepaired,
    /// A peer sent wrong bytes.
    WrongBytes,
    /// An agent objected to a plan.
    PlanObjected,
    /// A leader gave up a plan to which a majority objected.
    PlanDropped,
    /// A majority promised a thief's ballot.
    ThiefElected,
    /// A value that was found in a promise was passed over.
    ValuePassedOver,
    /// An elected thief proposed a region's absence for a reason that does not count.
    AbsenceForged,
    /// It proposed a plan whose orders end early or late.
    TimesForged,
    /// It proposed to carry out an order again.
    OrderReplayed,
    /// It proposed a plan without the orders in effect.
    OrderDropped,
}

impl Sometimes {
    /// Whether only a thief leads to it.
    pub(crate) fn needs_liar(self) -> bool {
        matches!(
            self,
            Self::PlanObjected
                | Self::PlanDropped
                | Self::ThiefElected
                | Self::ValuePassedOver
                | Self::WrongBytes
                | Self::AbsenceForged
                | Self::TimesForged
                | Self::OrderReplayed
                | Self::OrderDropped
        )
    }
}

/// How often each state was reached.
#[derive(Debug, Clone)]
pub(crate) struct Reached([u64; Sometimes::VARIANTS.len()]);

impl Default for Reached {
    fn default() -> Self {
        Self([0; Sometimes::VARIANTS.len()])
    }
}

impl Reached {
    pub(crate) fn count(&mut self, state: Sometimes) {
        self.0[state as usize] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }

    /// Each state and how often it was reached.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Sometimes, u64)> {
        let counts = self.0.iter().copied();
        Sometimes::VARIANTS.iter().copied().zip(counts)
    }
}
