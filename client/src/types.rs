//! The JSON of the API, for the server and its clients alike. Ages and durations in milliseconds,
//! points in time as Unix milliseconds.

mod cost;
mod events;
mod failover;
mod members;
mod models;
mod plan;
mod probes;
mod region;
mod reply;
mod rules;
mod status;
mod traffic;
mod uploads;

pub use cost::{PRICE_TABLE_MAX, PricesBody, PricesDone};
pub use events::{AlertEntry, AlertList, AlertState, EventEntry, EventList, NumberedEvent};
pub use failover::{
    Assumptions, FailoverHistory, FailoverStatus, OrderBody, OrderDone, OwnReport, PastPlanStatus,
    PastReason, RegionExplanation, WhatIf,
};
pub use members::{MemberBody, MemberStatus, MembersStatus, NewNameBody};
pub use models::{
    AliasStatus, BeginUpload, FileStatus, ModelStatus, Models, PROMOTION_WAIT_MAX_MS, Promote,
    Promoted, UnservableStatus, UploadBegun, VersionBrief, VersionDetail, VersionStatus,
};
pub use plan::{
    BallotStatus, OverrideStatus, PlanDetail, PlanStatus, PlannedRegion, ShortfallStatus,
};
pub use probes::{ActorHealth, Healthz, Readyz, RegionProbe};
pub use region::{
    AddressSeen, AddressStatus, ObservationStatus, RegionStatus, Regions, VoteStatus,
};
pub use reply::{BY_REQUIRED, Done, ErrorBody, LAST_SERVING, WOULD_REPLACE};
pub use status::{AgentStatus, HoldingsStatus, LeaderStatus, LinkStatus, ProblemStatus, Status};
pub use traffic::{FrozenStatus, VerdictStatus, YieldedStatus};
pub use uploads::{UploadStatus, Uploads};
