//! Models given on the command line of `up`, published once the mesh is ready.

use super::{LocalMesh, error::LocalMeshError, layout::Layout, ready};
use regionmesh_protocol::models::manifest::ModelName;
use regionmesh_runtime::describe;
use regionmesh_serving::iris_onnx;
use std::{ffi::OsStr, path::PathBuf, process::Stdio, str::FromStr, time::Duration};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

/// A model to publish as version 1; parsed from `NAME=PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelToPublish {
    pub name: ModelName,
    /// Its directory or file.
    pub path: PathBuf,
}

impl FromStr for ModelToPublish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) = text
            .split_once('=')
            .ok_or_else(|| format!("{text:?} is not NAME=PATH"))?;
        if path.is_empty() {
            return Err(format!("{text:?} has no path"));
        }

        Ok(Self {
            name: name.parse().map_err(|error| format!("{error}"))?,
            path: path.into(),
        })
    }
}

impl ModelToPublish {
    /// Refuses a path that does not exist before anything is started.
    pub fn check(&self) -> Result<(), LocalMeshError> {
        std::fs::metadata(&self.path)
            .map(drop)
            .map_err(LocalMeshError::io("read", &self.path))
    }
}

/// Publishes a model as version 1 through the first agent.
pub async fn publish(mesh: &LocalMesh, model: &ModelToPublish) -> Result<(), LocalMeshError> {
    let words = [
        "publish".as_ref(),
        model.name.as_str().as_ref(),
        "1".as_ref(),
        model.path.as_os_str(),
    ];

    models(mesh, &words)
        .await
        .map_err(|why| LocalMeshError::Publish {
            name: model.name.to_string(),
            why,
        })
}

/// The sample model's name.
pub const SAMPLE: &str = "iris";
/// How long the sample may take to be published, promoted and loaded everywhere.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause between two attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Where the sample model lies, for its user to publish again.
fn sample_file(layout: &Layout) -> PathBuf {
    layout.data_dir.join("sample").join("iris.onnx")
}

/// Writes the sample model into the data directory, publishes it as version 1, promotes that to
/// production, and waits until every agent serves it.
pub async fn sample(mesh: &LocalMesh) -> Result<(), String> {
    let deadline = Instant::now() + SAMPLE_TIMEOUT;
    let file = sample_file(mesh.layout());
    let written = async {
        tokio::fs::create_dir_all(file.parent().unwrap_or(&file)).await?;
        tokio::fs::write(&file, iris_onnx()).await
    };

    written.await.map_err(|error| {
        format!(
            "cannot write {}: {}",
            file.display(),
            describe::io_error(&error)
        )
    })?;

    let words = ["publish", SAMPLE, "1"].map(OsStr::new);
    models(mesh, &[&words[..], &[file.as_os_str()]].concat()).await?;

    // A version can be promoted once the regions have it and have tried it.
    let words = ["promote", SAMPLE, "1", "production", "--by", "up"].map(OsStr::new);
    while let Err(why) = models(mesh, &words).await {
        if Instant::now() >= deadline {
            return Err(why);
        }
        sleep(RETRY_PAUSE).await;
    }

    for agent in mesh.agents() {
        while let Err(why) =
            ready::ask_at(agent.serving(), &format!("/v2/models/{SAMPLE}/ready")).await
        {
            if Instant::now() >= deadline {
                return Err(why);
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    Ok(())
}

/// Runs `regionmesh models` with these arguments.
pub async fn models(mesh: &LocalMesh, words: &[&OsStr]) -> Result<(), String> {
    let agent = mesh.agents().first().ok_or("the mesh has no agent")?;
    let mut command = Command::new(mesh.program());
    command.arg("models").args(words);
    command
        .args(["--agent", &agent.api_url(), "--token-file"])
        .arg(mesh.layout().token_file());

    // The user's own settings are for the user's own commands.
    command
        .env_remove("REGIONMESH_OUTPUT")
        .env_remove("REGIONMESH_COLOR")
        .env_remove("REGIONMESH_DATA_DIR");

    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| error.to_string())?;

    if output.status.success() {
        return Ok(());
    }

    // Tables of outcomes go to standard output, errors to standard error.
    let message = if output.stderr.is_empty() {
        &output.stdout
    } else {
        &output.stderr
    };

    Err(format!(
        "{}: {}",
        output.status,
        String::from_utf8_lossy(message).trim()
    ))
}
