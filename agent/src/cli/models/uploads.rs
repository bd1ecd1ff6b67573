//! `regionmesh models uploads`: uploads in progress and abandoned ones, at every agent.

use crate::cli::common::Common;
use crate::cli::text::{Paint, Table, ago, bytes, plain};
use anyhow::{Result, bail};
use clap::Args;
use futures::future::join_all;
use regionmesh_client::{Client, ClientError, Done, Status, UploadStatus, Uploads as Listed};
use serde::Serialize;
use serde_json::json;
use std::process::ExitCode;

/// Longest text shown in a column, characters.
const COLUMN_MAX: usize = 60;

/// List the uploads that are open at the agents, or abort one
#[derive(Debug, Args)]
pub(super) struct Uploads {
    /// Abort this upload
    #[arg(long, value_name = "UPLOAD")]
    abort: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// One upload, and where it is.
#[derive(Debug, Serialize)]
struct Row {
    agent: String,
    #[serde(skip)]
    api_url: String,
    #[serde(flatten)]
    upload: UploadStatus,
}

impl Uploads {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let client = self.common.client.connect()?;
        if self.abort.is_some() {
            client.require_token()?;
        }

        let rows = list(&client).await?;
        let Some(wanted) = &self.abort else {
            return self.common.print(&rows, |paint| {
                if rows.is_empty() {
                    "no uploads are open".into()
                } else {
                    render(&rows, paint)
                }
            });
        };

        let Some(row) = rows.iter().find(|row| row.upload.upload == *wanted) else {
            bail!(
                "no agent has an upload {wanted}; it ended or expired, see `regionmesh models \
                    uploads`"
            );
        };

        // An id of ours: it was listed.
        let path = format!("/v1/uploads/{wanted}/abort");
        let done: Done = client.only(&row.api_url)?.post(&path, &json!({})).await?;

        self.common.print(&done, |_| done.done.clone())
    }
}

/// The uploads at every live agent; agents that don't answer are named on standard error.
async fn list(client: &Client) -> Result<Vec<Row>, ClientError> {
    let status: Status = client.get("/v1/status").await?;
    let living = status
        .agents
        .into_iter()
        .filter(|agent| agent.alive && !agent.api_url.is_empty());
    let asked = living.map(|agent| async move {
        let listed = async {
            client
                .only(&agent.api_url)?
                .get::<Listed>("/v1/uploads")
                .await
        };

        match listed.await {
            Ok(listed) => listed
                .uploads
                .into_iter()
                .map(|upload| Row {
                    agent: listed.agent.clone(),
                    api_url: agent.api_url.clone(),
                    upload,
                })
                .collect(),
            Err(error) => {
                eprintln!(
                    "warning: the uploads at {} are not known: {error}",
                    agent.agent
                );
                Vec::new()
            }
        }
    });

    Ok(join_all(asked).await.into_iter().flatten().collect())
}

fn render(rows: &[Row], paint: Paint) -> String {
    let mut table =
        Table::new("UPLOAD, AGENT, VERSION, BY, RECEIVED, IDLE, EXPIRES").heading(paint);

    for Row { agent, upload, .. } in rows {
        table.row(vec![
            plain(&upload.upload, COLUMN_MAX),
            plain(agent, COLUMN_MAX),
            plain(&format!("{}@{}", upload.model, upload.version), COLUMN_MAX),
            plain(&upload.publisher, COLUMN_MAX),
            format!("{} in {}", bytes(upload.bytes), upload.files),
            if upload.receiving {
                "receiving".into()
            } else {
                ago(upload.idle_ms)
            },
            if upload.receiving {
                "-".into()
            } else {
                format!("in {}", ago(upload.expires_in_ms))
            },
        ]);
    }

    table.render()
}
