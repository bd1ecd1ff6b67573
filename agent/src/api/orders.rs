//! Operators' orders: how they reach the leader, and how refusals are answered.

use super::{access::By, reply::ApiError, request::text, state::Api, status::plans::plan_detail};
use crate::failover::HOPS;
use axum::{Extension, Json};
use http::StatusCode;
use regionmesh_client::{LAST_SERVING, OrderDone, WOULD_REPLACE};
use regionmesh_protocol::{
    plan::{BY_MAX, CommittedPlan, MemberOrderError, Order, OrderError, WHY_MAX},
    register::members::MembersError,
    text::visible,
    wire::OrderRefusal,
};
use std::time::Duration;

/// How long an answer waits for the new plan to reach this agent: usually one round trip.
const PLAN_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) type OrderAnswer = Result<(Extension<By>, Json<OrderDone>), ApiError>;

pub(crate) fn why_or_none(why: String) -> String {
    if why.is_empty() {
        "no reason given".into()
    } else {
        why
    }
}

/// Takes an order to the leader, and answers once it is committed.
pub(crate) async fn submit(api: Api, order: Order) -> OrderAnswer {
    text("by", &order.by, BY_MAX)?;
    text("why", &order.why, WHY_MAX)?;

    let by = order.by.clone();
    let handler = api.orders.clone();

    // In a task, so that the outcome is logged even if the client disconnects.
    let carried_out = tokio::spawn(async move { handler.carry_out(order, HOPS).await });
    let committed = carried_out.await.map_err(|error| {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the order failed: {error}"),
            "see `failover status`",
        )
    })??;

    // The next read from this agent should see the new plan.
    let mut known = api.snapshots.plan.subscribe();
    let has_it = known.wait_for(|known| {
        known
            .as_ref()
            .is_some_and(|known| known.stamp >= committed.stamp)
    });
    let _ = tokio::time::timeout(PLAN_TIMEOUT, has_it).await;
    let plan = api
        .snapshots
        .clocks
        .by_own_clock(&committed.plan)
        .into_owned();
    let done = visible(&committed.plan.reason).into_owned();

    let plan = plan_detail(
        &api.config,
        &CommittedPlan {
            plan,
            stamp: committed.stamp,
            certificate: committed.certificate,
        },
    );

    Ok((Extension(By(by)), Json(OrderDone { done, plan })))
}

impl From<OrderRefusal> for ApiError {
    fn from(refusal: OrderRefusal) -> Self {
        let code = match &refusal {
            OrderRefusal::Wrong(OrderError::WouldReplace { .. }) => WOULD_REPLACE,
            OrderRefusal::Wrong(OrderError::LastServing { .. }) => LAST_SERVING,
            _ => "",
        };
        let (status, hint) = match &refusal {
            OrderRefusal::NotNow(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "orders need a majority of regions",
            ),
            OrderRefusal::Unknown(_) => (
                StatusCode::GATEWAY_TIMEOUT,
                "see `regionmesh failover status`",
            ),
            OrderRefusal::Wrong(error) => match error {
                OrderError::NoPlan => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "a first plan needs a majority of regions",
                ),
                OrderError::UnknownRegion(_) => (StatusCode::NOT_FOUND, "see `regionmesh status`"),
                OrderError::NothingInEffect(_) => {
                    (StatusCode::NOT_FOUND, "see `regionmesh failover status`")
                }
                OrderError::Unfit { .. } => (
                    StatusCode::CONFLICT,
                    "traffic does not move to a less healthy region; to force it, drain the others",
                ),
                OrderError::WouldReplace { .. } => (
                    StatusCode::CONFLICT,
                    "agree with its author, or repeat with --force (\"force\": true)",
                ),
                OrderError::LastServing { .. } => (
                    StatusCode::CONFLICT,
                    "to drain it anyway, repeat with --yes or --force (\"force\": \
                        true)",
                ),
                OrderError::Member(error) => member_refusal(error),
                OrderError::TooMany => (StatusCode::CONFLICT, "see `regionmesh failover status`"),
                OrderError::NoRegion(_)
                | OrderError::Text { .. }
                | OrderError::Unprintable { .. }
                | OrderError::Duration(_) => (StatusCode::BAD_REQUEST, ""),
            },
        };

        Self::new(status, refusal.to_string(), hint).with_code(code)
    }
}

/// The status of a refused change of members, and what to do about it.
fn member_refusal(error: &MemberOrderError) -> (StatusCode, &'static str) {
    match error {
        MemberOrderError::NoName | MemberOrderError::NoOverride => (StatusCode::BAD_REQUEST, ""),
        MemberOrderError::Members(MembersError::NotAMember(_)) => {
            (StatusCode::NOT_FOUND, "see `regionmesh failover members`")
        }
        MemberOrderError::NoMajorityLeft { .. } => {
            (StatusCode::CONFLICT, "bring back another region first")
        }
        MemberOrderError::Members(_)
        | MemberOrderError::NotConfigured { .. }
        | MemberOrderError::HasTraffic { .. }
        | MemberOrderError::NotAutomatic(_)
        | MemberOrderError::Votes { .. } => {
            (StatusCode::CONFLICT, "see `regionmesh failover members`")
        }
    }
}
