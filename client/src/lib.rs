//! The HTTP API of an agent, seen from outside: the types of its JSON, and a client that asks any
//! agent of a mesh.
//!
//! The agent's own API answers with these types, so that server and clients can't differ. Cost
//! answers are the exception: their types are the agent's and those of `regionmesh-cost`.

mod address;
mod answer;
mod client;
mod error;
mod types;

pub use address::{AddressError, agent_url};
pub use client::{ANSWER, Answer, Client, Notice};
pub use error::{ClientError, Failure};
pub use types::{
    ActorHealth, AddressSeen, AddressStatus, AgentStatus, AlertEntry, AlertList, AlertState,
    AliasStatus, Assumptions, BY_REQUIRED, BallotStatus, BeginUpload, Done, ErrorBody, EventEntry,
    EventList, FailoverHistory, FailoverStatus, FileStatus, FrozenStatus, Healthz, HoldingsStatus,
    LAST_SERVING, LeaderStatus, LinkStatus, MemberBody, MemberStatus, MembersStatus, ModelStatus,
    Models, NewNameBody, NumberedEvent, ObservationStatus, OrderBody, OrderDone, OverrideStatus,
    OwnReport, PRICE_TABLE_MAX, PROMOTION_WAIT_MAX_MS, PastPlanStatus, PastReason, PlanDetail,
    PlanStatus, PlannedRegion, PricesBody, PricesDone, ProblemStatus, Promote, Promoted, Readyz,
    RegionExplanation, RegionProbe, RegionStatus, Regions, ShortfallStatus, Status,
    UnservableStatus, UploadBegun, UploadStatus, Uploads, VerdictStatus, VersionBrief,
    VersionDetail, VersionStatus, VoteStatus, WOULD_REPLACE, WhatIf, YieldedStatus,
};
