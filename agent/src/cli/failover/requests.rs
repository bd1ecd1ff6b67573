//! What the commands of failover send to the mesh.

use crate::cli::common::{text_within, unknown_operator};
use anyhow::Result;
use clap::Args;
use regionmesh_client::{BY_REQUIRED, Client, ClientError, OrderDone, WhatIf};
use regionmesh_protocol::{
    identity::RegionName,
    plan::{BY_MAX, WHY_MAX},
    status::condition::Condition,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// How long an order may take: an agent that forwards it learns the outcome within 12 s.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Who orders, and why.
#[derive(Debug, Args)]
pub(super) struct Signature {
    /// Author of the order [default: $REGIONMESH_BY, else the user at the terminal; a token's name
    /// takes precedence]
    #[arg(long, value_name = "WHO", value_parser = by)]
    pub(super) by: Option<String>,
    /// Reason, recorded in the plan history
    #[arg(long, value_name = "WHY", value_parser = why)]
    pub(super) why: Option<String>,
}

/// Sends an order. The mesh may know the operator by the token; an order whose operator is unknown
/// is bad usage.
pub(super) async fn post(client: &Client, what: &str, body: &Value) -> Result<OrderDone> {
    match client
        .post_within(&format!("/v1/failover/{what}"), body, TIMEOUT)
        .await
    {
        Err(ClientError::Refused { code, .. }) if code == BY_REQUIRED => {
            Err(unknown_operator().into())
        }
        answered => Ok(answered?),
    }
}

/// Asks for the plan that would be made if regions were as assumed; changes nothing.
pub(super) async fn what_if(
    client: &Client,
    assume: BTreeMap<RegionName, Condition>,
) -> Result<WhatIf> {
    Ok(client
        .post_within(
            "/v1/failover/what-if",
            &json!({ "assume": assume }),
            TIMEOUT,
        )
        .await?)
}

fn by(text: &str) -> Result<String, String> {
    text_within(text, BY_MAX)
}

fn why(text: &str) -> Result<String, String> {
    text_within(text, WHY_MAX)
}
