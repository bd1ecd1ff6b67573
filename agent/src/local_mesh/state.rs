//! The data directory: who may use it, which mesh it holds, its token and certificates.

use super::{
    error::LocalMeshError,
    layout::{Layout, LocalAgent},
    settings,
};
use crate::config::Config;
use regionmesh_mesh::{CA_CERTIFICATE, TlsConfig, init_authority, issue_certificate};
use regionmesh_protocol::identity::{MeshName, RegionName};
use regionmesh_runtime::files::replace_file;
use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{ErrorKind, Read, Seek, Write},
    path::{Path, PathBuf},
    time::Duration,
};

const MANIFEST: &str = "mesh.json";
const LOCK: &str = "up.lock";
/// How often a taken lock is retried, and the pause between.
const LOCK_ATTEMPTS: usize = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// Version of the data directory's layout.
const FORMAT: u32 = 1;
/// How long the mesh's own authority is valid, days.
const AUTHORITY_DAYS: u32 = 3_650;
/// How long an agent's certificate is valid, days.
const CERTIFICATE_DAYS: u32 = 365;
/// A certificate with less than this left is replaced at the next start, days.
const RENEW_DAYS: i64 = 30;

/// What a data directory was made for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// Version of the layout.
    pub format: u32,
    pub domain: MeshName,
    /// Its regions, in order of address.
    pub regions: Vec<RegionName>,
    /// Agents of each region.
    pub agents_per_region: u8,
}

/// An open data directory, ours until dropped.
#[derive(Debug)]
pub(super) struct DataDirectory {
    /// Absolute path.
    pub path: PathBuf,
    /// What it was made for; none: it is new.
    pub manifest: Option<Manifest>,
    /// Whether this start made it.
    is_made: bool,
    /// Locked (flock); the system releases the lock however the process ends.
    _lock: File,
}

impl DataDirectory {
    /// Makes or opens the directory and locks it.
    pub(super) fn open(path: &Path) -> Result<Self, LocalMeshError> {
        let wrong = |why: &str| LocalMeshError::DataDirectory {
            path: path.into(),
            why: why.into(),
        };
        let mut is_made = false;

        match std::fs::metadata(path) {
            Ok(metadata) if !metadata.is_dir() => {
                return Err(wrong("it is a file; choose a directory with --data-dir"));
            }
            Ok(_) => {
                let is_empty = std::fs::read_dir(path)
                    .map_err(LocalMeshError::io("read", path))?
                    .next()
                    .is_none();

                if !is_empty && !path.join(MANIFEST).exists() && !path.join(LOCK).exists() {
                    return Err(wrong(
                        "it holds other files; choose an empty directory with --data-dir",
                    ));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                std::fs::create_dir_all(path).map_err(LocalMeshError::io("create", path))?;
                is_made = true;
            }
            Err(error) => return Err(LocalMeshError::io("read", path)(error)),
        }

        let path = path
            .canonicalize()
            .map_err(LocalMeshError::io("read", path))?;
        let lock = lock(&path)?;
        let manifest = read_manifest(&path)?;

        Ok(Self {
            path,
            manifest,
            is_made,
            _lock: lock,
        })
    }

    /// Removes the directory if this start made it and it is still empty.
    pub(super) fn abandon(self) {
        if self.is_made {
            // Best effort: at worst an empty folder with a lock file remains.
            let _ = std::fs::remove_file(self.path.join(LOCK))
                .and_then(|()| std::fs::remove_dir(&self.path));
        }
    }

    /// Refuses what can't be changed in a mesh that exists.
    pub(super) fn check(&self, layout: &Layout) -> Result<(), LocalMeshError> {
        let Some(manifest) = &self.manifest else {
            return Ok(());
        };
        let path = self.path.display();

        if manifest.domain != layout.domain {
            return Err(LocalMeshError::Options(format!(
                "{path} already contains mesh {}; its certificates are not valid for {}. Omit \
                    --domain, or use another --data-dir",
                manifest.domain, layout.domain
            )));
        }

        if manifest.regions != layout.regions {
            let names: Vec<&str> = manifest.regions.iter().map(RegionName::as_str).collect();
            return Err(LocalMeshError::Options(format!(
                "{path} already contains a mesh with regions {}. `up` cannot change them: omit \
                    --regions, or use another --data-dir",
                names.join(",")
            )));
        }

        Ok(())
    }

    /// Writes the directories, certificates, token and configurations of the agents. Keeps valid
    /// certificates and the token.
    pub(super) fn write_files(
        &self,
        layout: &Layout,
        agents: &[LocalAgent],
    ) -> Result<(), LocalMeshError> {
        for directory in layout
            .store_directories()
            .iter()
            .chain([&self.path.join("logs")])
        {
            std::fs::create_dir_all(directory).map_err(LocalMeshError::io("create", directory))?;
        }

        token(&layout.token_file())?;
        let authority = self.authority(layout)?;
        for agent in agents {
            std::fs::create_dir_all(&agent.directory)
                .map_err(LocalMeshError::io("create", &agent.directory))?;

            let tls = match current_certificate(agent) {
                Some(tls) => tls,
                None => issue(&authority, agent)?,
            };
            let config = layout.config(agent, tls);
            let unwritable = |error| LocalMeshError::DataDirectory {
                path: agent.config_file(),
                why: format!("the configuration can't be written as TOML: {error}"),
            };
            let mut config = toml::Table::try_from(&config).map_err(unwritable)?;

            settings::apply(&mut config, &layout.settings).map_err(LocalMeshError::Options)?;
            let text = toml::to_string(&config).map_err(unwritable)?;
            let head = "# Written by `regionmesh up` at each start; changes are lost.\n";
            let file = agent.config_file();

            replace_file(&file, format!("{head}{text}").as_bytes())
                .map_err(LocalMeshError::io("write", file))?;
            Config::load(&agent.config_file())?;
        }

        let manifest = Manifest {
            format: FORMAT,
            domain: layout.domain.clone(),
            regions: layout.regions.clone(),
            agents_per_region: layout.agents_per_region,
        };

        write_json(&self.path.join(MANIFEST), &manifest)?;
        let client = serde_json::json!({
            "agents": agents.iter().map(LocalAgent::api_url).collect::<Vec<_>>(),
            "token_file": layout.token_file(),
        });

        write_json(&self.client_file(), &client)
    }

    /// Path of the file from which the command line reads how to reach this mesh.
    pub(super) fn client_file(&self) -> PathBuf {
        self.path.join("client.json")
    }

    fn authority(&self, layout: &Layout) -> Result<PathBuf, LocalMeshError> {
        let directory = self.path.join("ca");
        let is_there =
            std::fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_some());

        if !is_there {
            init_authority(&directory, &layout.domain, AUTHORITY_DAYS).map_err(|error| {
                LocalMeshError::Certificates {
                    path: directory.clone(),
                    why: error.to_string(),
                }
            })?;
        }

        Ok(directory)
    }
}

/// Locks a file. Retries: an `up` that is just ending, or a process between fork and exec, releases
/// its lock within moments.
fn file_lock(file: &File) -> Result<(), TryLockError> {
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            locked => return locked,
        }
    }

    file.try_lock()
}

fn lock(directory: &Path) -> Result<File, LocalMeshError> {
    let path = directory.join(LOCK);
    let mut options = OpenOptions::new();
    let mut file = options
        .create(true)
        .read(true)
        .write(true)
        .truncate(false)
        .open(&path)
        .map_err(LocalMeshError::io("write", &path))?;

    match file_lock(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.read_to_string(&mut pid);
            let pid = if pid.trim().is_empty() {
                "unknown".into()
            } else {
                pid.trim().to_owned()
            };

            return Err(LocalMeshError::Locked {
                path: directory.into(),
                pid,
            });
        }
        Err(TryLockError::Error(error)) => return Err(LocalMeshError::io("lock", path)(error)),
    }

    let note = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())
    };

    note(&mut file).map_err(LocalMeshError::io("write", path))?;
    Ok(file)
}

fn read_manifest(directory: &Path) -> Result<Option<Manifest>, LocalMeshError> {
    let path = directory.join(MANIFEST);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(LocalMeshError::io("read", path)(error)),
    };
    let wrong = |why: String| LocalMeshError::DataDirectory {
        path: directory.into(),
        why,
    };

    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| {
        wrong(format!(
            "{} is damaged ({error}): move the directory away, or choose another --data-dir",
            path.display()
        ))
    })?;

    if manifest.format != FORMAT {
        return Err(wrong(format!(
            "it has format {}, this version writes {FORMAT}: use the version that made it",
            manifest.format
        )));
    }

    Ok(Some(manifest))
}

/// A token of 256 random bits, made once, readable by its owner only.
fn token(path: &Path) -> Result<(), LocalMeshError> {
    if std::fs::read_to_string(path).is_ok_and(|token| !token.trim().is_empty()) {
        return Ok(());
    }

    let token: String = rand::random::<[u8; 32]>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut options = OpenOptions::new();

    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);

    let mut file = options
        .open(path)
        .map_err(LocalMeshError::io("write", path))?;
    writeln!(file, "{token}").map_err(LocalMeshError::io("write", path))
}

/// The certificate of an earlier start, if it is valid for more than [`RENEW_DAYS`].
fn current_certificate(agent: &LocalAgent) -> Option<TlsConfig> {
    let tls = Config::load(&agent.config_file()).ok()?.tls;
    let pem = std::fs::read(&tls.certificate).ok()?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).ok()?;
    let left = pem.parse_x509().ok()?.validity().time_to_expiration()?;
    (left.whole_days() > RENEW_DAYS && tls.key.exists() && tls.ca.exists()).then_some(tls)
}

/// Issues a certificate. Removes an expiring or unused one first: an authority overwrites nothing.
fn issue(authority: &Path, agent: &LocalAgent) -> Result<TlsConfig, LocalMeshError> {
    let stem = format!("{}.{}", agent.id.region, agent.id.agent);
    for name in [
        format!("{stem}.key"),
        format!("{stem}.pem"),
        CA_CERTIFICATE.into(),
    ] {
        let path = agent.directory.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(LocalMeshError::io("remove", path)(error));
            }
            _ => {}
        }
    }

    let issued = issue_certificate(authority, &agent.id, CERTIFICATE_DAYS, &agent.directory)
        .map_err(|error| LocalMeshError::Certificates {
            path: authority.into(),
            why: error.to_string(),
        })?;

    Ok(TlsConfig {
        ca: issued.ca,
        certificate: issued.certificate,
        key: issued.key,
    })
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), LocalMeshError> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|error| LocalMeshError::io("write", path)(std::io::Error::other(error)))?;
    text.push(b'\n');
    replace_file(path, &text).map_err(LocalMeshError::io("write", path))
}
