//! Whether a plan that a leader proposes has a reason that this agent knows: external validity, as
//! in Cachin, Kursawe, Petzold and Shoup (2001). Votes of acceptors alone say that a value was
//! agreed on, not that it is good; an elected thief would have any value agreed on. So an agent
//! asks its region's acceptor to accept a value, and signs that, only if [`judge`] finds nothing
//! against it (Castro and Liskov 1999: correct replicas accept only what they could have proposed).
//!
//! The plan is compared with the last one that is proven to be committed:
//!
//! - A region loses traffic only by an order of an operator, by its own wish, or if this agent does
//!   not see it clearly healthy. It gets traffic only step by step, and not while this agent sees
//!   it clearly down, unless no other region is left. At most `max_out` are taken out,
//!   under whatever name.
//! - Weights follow from the traffic states, and from the declared capacities: an agent computes
//!   them again.
//! - An override begins or ends only by an order whose proof is valid and not used before, or when
//!   that order expires. So do members, except that an acceptor may lose its vote or get it back.
//!
//! The times of a plan are its leader's. A thief who leads can shift them, in one plan or little by
//! little, and honest leaders go on from there. So an agent does not compare the times of two plans
//! with each other, but with what it measured itself since an order was given, or since a region
//! began a step of the ramp. An agent that was not there then has no such measure and does not
//! object: it would take its own delay for a lie.
//!
//! Why honest leaders are not stopped. Whatever a leader bases a plan on reaches the other agents
//! within moments: verdicts follow from the same signed observations, and orders travel with the
//! plan. Where honest agents can differ, the benefit of the doubt is the leader's ([`Sight`]): a
//! verdict that changed a moment ago, or is unknown, objects to nothing. An objection is an answer,
//! not a failure: the leader asks again, and makes another plan if a majority keeps objecting.
//!
//! Why one stolen key can't move traffic. A plan needs the signatures of a majority of regions.
//! With the key of one region at most, at least one honest agent has found a reason for each
//! change. What a thief can still do is bounded by what an honest agent would believe; see
//! `docs/explanation/security.md`.

mod exits;
mod grounds;
mod members;
mod moves;
mod orders;
mod shares;

pub(crate) use exits::leavers;
pub(crate) use grounds::ESTIMATE_MS;
pub use grounds::{Age, Grounds, Objection, Sight, Times};

use regionmesh_protocol::plan::Plan;
use std::borrow::Cow;

/// Judges the plan `next`. `base`: the last plan known to be committed, by this agent's clock.
pub fn judge(base: Option<&Plan>, next: &Plan, grounds: &Grounds<'_>) -> Result<(), Objection> {
    let base = check_orders(base, next, grounds)?;
    let base = base.as_deref();

    moves::check(base, next, grounds)?;
    if let Some(base) = base {
        exits::check(base, next, grounds)?;
    }
    shares::check(base, next, grounds)
}

/// Judges only what operators ordered: whether `next` keeps the overrides and the members of
/// `base`, which may be committed.
pub fn judge_orders(
    base: Option<&Plan>,
    next: &Plan,
    grounds: &Grounds<'_>,
) -> Result<(), Objection> {
    check_orders(base, next, grounds).map(|_| ())
}

/// Checks members and overrides. Returns `base` with the names of `next`.
fn check_orders<'a>(
    base: Option<&'a Plan>,
    next: &Plan,
    grounds: &Grounds<'_>,
) -> Result<Option<Cow<'a, Plan>>, Objection> {
    let renamed = members::check(base, next, grounds)?;
    let base = base.map(|base| {
        let mut base = Cow::Borrowed(base);
        for (old, new) in renamed {
            super::membership::rename(base.to_mut(), old, new);
        }
        base
    });

    orders::check(base.as_deref(), next, grounds)?;
    Ok(base)
}
