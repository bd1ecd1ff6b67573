//! Phrases that both plans and explanations use.

use regionmesh_protocol::{identity::RegionName, plan::Shortfall};
use std::net::IpAddr;

/// Why every weight stays although no region can serve.
pub(super) const LAST_SHARES: &str = "every region appears to be down, the last shares stay";

/// Longest reason of a plan, bytes: people read it, and every agent's board entry carries it.
const REASON_MAX: usize = 1_000;

/// Joins reasons into one, cut to [`REASON_MAX`].
pub(super) fn join_reasons(reasons: &[String]) -> String {
    let mut reason = reasons.join("; ");
    if reason.len() > REASON_MAX {
        reason.truncate(reason.floor_char_boundary(REASON_MAX));
        reason.push('…');
    }

    reason
}

/// How the addresses of `name` changed.
pub(super) fn address_change(name: &RegionName, before: &[IpAddr], after: &[IpAddr]) -> String {
    let only = |these: &[IpAddr], those: &[IpAddr]| {
        these
            .iter()
            .filter(|address| !those.contains(address))
            .map(IpAddr::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };

    match (only(before, after), only(after, before)) {
        (gone, new) if gone.is_empty() && new.is_empty() => format!("{name}: addresses changed"),
        (gone, new) if new.is_empty() => format!("{name}: {gone} is answered no more"),
        (gone, new) if gone.is_empty() => format!("{name}: {new} is answered"),
        (gone, new) => format!("{name}: {new} is answered, {gone} no more"),
    }
}

/// Why a failed region keeps part of its traffic.
pub(super) fn limit(out: &[&str], max_out: u16, percent: u8) -> String {
    let out = if out.is_empty() {
        String::new()
    } else {
        format!(" and {} out already", are(out))
    };

    format!(
        "keeps {percent} % of its share, since traffic.max_out is {max_out}{out}; drain it to take \
         it out"
    )
}

/// What the capacity guard kept where it was.
pub(super) fn shortfall(short: &Shortfall) -> String {
    format!(
        "{} of the mesh's {} requests/s stay where they are: the other regions' declared capacity \
         has no headroom of 1.1 times as much",
        short.unmoved_rps, short.load_rps
    )
}

/// `a is`, or `a, b are`.
pub(super) fn are(names: &[&str]) -> String {
    format!(
        "{} {}",
        names.join(", "),
        if names.len() == 1 { "is" } else { "are" }
    )
}
