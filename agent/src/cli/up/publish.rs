//! Models given on the command line of `up`, published once the mesh is ready.

use super::{error::UpError, local_mesh::LocalMesh};
use regionmesh_protocol::manifest::ModelName;
use std::{ffi::OsStr, path::PathBuf, process::Stdio, str::FromStr};
use tokio::process::Command;

/// `NAME=PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelToPublish {
    /// The model.
    pub name: ModelName,
    /// Its directory or file.
    pub path: PathBuf,
}

impl FromStr for ModelToPublish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) = text.split_once('=').ok_or_else(|| format!("{text:?} is not NAME=PATH"))?;
        if path.is_empty() {
            return Err(format!("{text:?} has no path"));
        }
        Ok(Self { name: name.parse().map_err(|error| format!("{error}"))?, path: path.into() })
    }
}

impl ModelToPublish {
    /// Refuses a path that does not exist before anything is started.
    pub fn check(&self) -> Result<(), UpError> {
        std::fs::metadata(&self.path).map(drop).map_err(UpError::io("read", &self.path))
    }
}

/// Publishes a model as version 1 through the first agent.
pub async fn publish(mesh: &LocalMesh, model: &ModelToPublish) -> Result<(), UpError> {
    let words = ["publish".as_ref(), model.name.as_str().as_ref(), "1".as_ref(), model.path.as_os_str()];
    models(mesh, &words).await.map_err(|why| UpError::Publish { name: model.name.to_string(), why })
}

/// Does what `regionmesh models` does with these words: by running it.
pub async fn models(mesh: &LocalMesh, words: &[&OsStr]) -> Result<(), String> {
    let agent = mesh.agents().first().ok_or("the mesh has no agent")?;
    let mut command = Command::new(mesh.program());
    command.arg("models").args(words);
    command.args(["--agent", &agent.api_url(), "--token-file"]).arg(mesh.layout().token_file());
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    // Listings tell on standard output what is wrong, failures on standard error.
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(said).trim()))
}
