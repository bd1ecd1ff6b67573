//! `/v1/failover/members`: who votes in the register and gets traffic, and how operators change it.

use super::{
    access::Operator,
    orders::{OrderAnswer, submit, why_or_none},
    request::{json, named},
    state::Api,
};
use axum::{Extension, Json, body::Bytes, extract::State};
use regionmesh_client::{MemberBody, MemberStatus, MembersStatus, NewNameBody};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{MemberOrder, Order, OrderAction},
    register::{ballot::WITNESS, members::Members},
};
use std::collections::BTreeSet;

/// `GET /v1/failover/members`
pub(crate) async fn list(State(api): State<Api>) -> Json<MembersStatus> {
    let plan = api.snapshots.plan.borrow().clone();
    let members = plan
        .as_ref()
        .map(|committed| committed.plan.members.clone())
        .unwrap_or_default();
    let shares = plan
        .as_ref()
        .map(|committed| committed.plan.shares())
        .unwrap_or_default();
    let board = api.snapshots.board.borrow().clone();
    let has_witness = api.config.witness.is_some();
    let is_configured = |name: &RegionName| {
        api.config.region(name).is_some() || name.as_str() == WITNESS && has_witness
    };
    let witness = RegionName::new(WITNESS).ok().filter(|_| has_witness);

    let configured = api
        .config
        .regions
        .iter()
        .map(|region| region.name.clone())
        .chain(witness);
    let names: BTreeSet<RegionName> = members.names().into_iter().chain(configured).collect();
    let member = |name: RegionName| {
        let counted = members.acceptors.get(&name);
        let agents = board
            .agents
            .iter()
            .filter(|(id, view)| id.region == name && view.is_alive)
            .count();

        MemberStatus {
            vote: match counted {
                None => "none",
                Some(None) => "joining",
                Some(Some(_)) => "counts",
            }
            .into(),
            is_member: counted.is_some(),
            is_configured: is_configured(&name),
            acceptor: counted
                .copied()
                .flatten()
                .map(|incarnation| incarnation.to_string()),
            agents_alive: agents as u64,
            share: shares.get(&name).copied().unwrap_or(0.0),
            is_witness: name.as_str() == WITNESS,
            member: name,
        }
    };

    Json(MembersStatus {
        answered_by: api.config.id().to_string(),
        register: (!members.is_empty()).then(|| format!("{:016x}", members.register)),
        seq: plan.as_ref().map(|committed| committed.stamp.seq),
        majority: (members.len() / 2 + 1) as u64,
        automatic_refused: members.why_not_automatic(),
        members: names.into_iter().map(member).collect(),
    })
}

/// `POST /v1/failover/members/add`
pub(crate) async fn add(
    api: State<Api>,
    operator: Extension<Operator>,
    body: Bytes,
) -> OrderAnswer {
    let MemberBody {
        region,
        by,
        why,
        force,
    } = json(&body)?;

    change(api, operator, region, by, why, MemberOrder::Add { force }).await
}

/// `POST /v1/failover/members/remove`
pub(crate) async fn remove(
    api: State<Api>,
    operator: Extension<Operator>,
    body: Bytes,
) -> OrderAnswer {
    let MemberBody {
        region,
        by,
        why,
        force,
    } = json(&body)?;

    change(
        api,
        operator,
        region,
        by,
        why,
        MemberOrder::Remove { force },
    )
    .await
}

/// `POST /v1/failover/members/rename`
pub(crate) async fn rename(
    api: State<Api>,
    operator: Extension<Operator>,
    body: Bytes,
) -> OrderAnswer {
    let NewNameBody {
        region,
        to,
        by,
        why,
    } = json(&body)?;
    let to: RegionName = named("to", &to)?;

    change(api, operator, region, by, why, MemberOrder::Rename { to }).await
}

async fn change(
    State(api): State<Api>,
    Extension(operator): Extension<Operator>,
    region: String,
    by: String,
    why: String,
    order: MemberOrder,
) -> OrderAnswer {
    let region: RegionName = named("region", &region)?;
    let order = Order {
        action: OrderAction::Member(order),
        region: Some(region),
        by: operator.or_given(by)?,
        why: why_or_none(why),
        for_ms: 0,
        is_forced: false,
        is_immediate: false,
        proof: None,
    };

    submit(api, order).await
}

/// Why automatic failover is refused, as far as this agent knows; none if it is not.
pub(crate) fn why_not_automatic(api: &Api) -> Option<String> {
    let plan = api.snapshots.plan.borrow().clone();
    plan.as_ref()
        .and_then(|committed| Members::why_not_automatic(&committed.plan.members))
}
