//! `regionmesh failover members`: who votes in the register and gets traffic, and how that is
//! changed.

use super::{
    render,
    requests::{self, Signature},
};
use crate::cli::{
    common::{Common, operator},
    confirm::confirm,
    text::{Paint, Table, Tone, percent, plain, wrap},
};
use anyhow::Result;
use clap::{Args, Subcommand};
use regionmesh_client::{MemberStatus, MembersStatus, OrderDone};
use regionmesh_protocol::identity::RegionName;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Show who votes in the register and gets traffic; add, remove or rename a region
#[derive(Debug, Args)]
pub(super) struct MembersCommand {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Action {
    List(List),
    Add(Add),
    Remove(Remove),
    Rename(Rename),
}

/// Show every member, and every configured region that is not a member
#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    common: Common,
}

/// Add a region, or the witness, to the members
///
/// Refused: a member; what is not in the leader's configuration; a change without a majority of
/// reachable members; a store that holds another register; and, without --force, a change after
/// which automatic failover is refused. A new region gets its traffic through cool-down and ramp.
#[derive(Debug, Args)]
struct Add {
    /// The region, or `witness`; it must be in every agent's configuration
    region: RegionName,
    /// Proceed even if the change disables automatic failover
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    signature: Signature,
    #[command(flatten)]
    common: Common,
}

/// Remove a region, or the witness, from the members
///
/// Refused: the last member; a change without a majority of the other members; and,
/// without --force, a region that has traffic, and a change after which automatic failover is
/// refused. Drain the region first.
#[derive(Debug, Args)]
struct Remove {
    /// The region, or `witness`
    region: RegionName,
    /// Proceed even if the region still has traffic (it is moved immediately), or if the change
    /// disables automatic failover
    #[arg(long)]
    force: bool,
    /// With --force: do not ask for confirmation
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    signature: Signature,
    #[command(flatten)]
    common: Common,
}

/// Rename a region; it keeps its acceptor, share and orders
#[derive(Debug, Args)]
struct Rename {
    /// Its present name
    old: RegionName,
    /// Its new name, as in every agent's configuration and in the certificates of its agents
    new: RegionName,
    #[command(flatten)]
    signature: Signature,
    #[command(flatten)]
    common: Common,
}

impl MembersCommand {
    pub(super) async fn run(self) -> Result<ExitCode> {
        match self.action {
            None => list(self.common).await,
            Some(Action::List(List { common })) => list(common).await,
            Some(Action::Add(Add {
                region,
                force,
                signature,
                common,
            })) => {
                order(
                    "add",
                    json!({ "region": region, "force": force }),
                    signature,
                    common,
                )
                .await
            }
            Some(Action::Remove(Remove {
                region,
                force,
                yes,
                signature,
                common,
            })) => {
                if force {
                    confirm(
                        &format!(
                            "Remove {region} although it may have traffic? Its traffic is moved \
                                immediately."
                        ),
                        yes,
                    )?;
                }

                order(
                    "remove",
                    json!({ "region": region, "force": force }),
                    signature,
                    common,
                )
                .await
            }
            Some(Action::Rename(Rename {
                old,
                new,
                signature,
                common,
            })) => {
                order(
                    "rename",
                    json!({ "region": old, "to": new }),
                    signature,
                    common,
                )
                .await
            }
        }
    }
}

async fn list(common: Common) -> Result<ExitCode> {
    let members: MembersStatus = common.get("/v1/failover/members").await?;
    common.print(&members, |paint| render_members(&members, paint))
}

async fn order(
    what: &str,
    mut body: Value,
    signature: Signature,
    common: Common,
) -> Result<ExitCode> {
    body["by"] = operator(signature.by).unwrap_or_default().into();
    body["why"] = signature.why.unwrap_or_default().into();
    let client = common.client.connect()?;
    let done: OrderDone = requests::post(&client, &format!("members/{what}"), &body).await?;
    common.print(&done, |paint| render::done(&done, paint))
}

fn render_members(status: &MembersStatus, paint: Paint) -> String {
    let mut text = format!(
        "members  as {} sees them\n",
        plain(&status.answered_by, 200)
    );
    let (Some(register), Some(seq)) = (&status.register, status.seq) else {
        return text
            + &paint.tone(
                Tone::Uneasy,
                "no plan is committed yet: the first one creates the register",
            )
            + "\n";
    };

    let voting = status
        .members
        .iter()
        .filter(|member| member.is_member)
        .count();
    let message = format!(
        "{}, plan #{seq}; {} of {voting} votes decide",
        plain(register, 20),
        status.majority
    );

    text += &wrap("register ", &message);
    if let Some(why) = &status.automatic_refused {
        text += &wrap("", &paint.tone(Tone::Bad, plain(why, 500)));
    }
    text += "\n";

    let mut table = Table::new("MEMBER, VOTE, ACCEPTOR, AGENTS, SHARE, CONFIGURED").heading(paint);

    for member in &status.members {
        table.row(row(member, paint));
    }
    text + &table.render()
}

fn row(member: &MemberStatus, paint: Paint) -> Vec<String> {
    let vote = match (member.is_member, member.vote.as_str()) {
        (false, _) => paint.tone(Tone::Faint, "not a member"),
        (true, "counts") => paint.tone(Tone::Good, "counts"),
        (true, other) => paint.tone(Tone::Uneasy, plain(other, 20)),
    };
    let of_region = |text: String| if member.is_witness { "-".into() } else { text };

    vec![
        member.member.to_string(),
        vote,
        member
            .acceptor
            .as_ref()
            .map_or_else(|| "-".into(), |acceptor| plain(acceptor, 20)),
        of_region(member.agents_alive.to_string()),
        of_region(percent(member.share)),
        if member.is_configured {
            "yes".into()
        } else {
            paint.tone(Tone::Bad, "no")
        },
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
