//! The files to publish, checked before anything is sent.

use crate::cli::error::CommandError;
use regionmesh_protocol::models::manifest::{
    FILES_MAX, ManifestError, VERSION_SIZE_MAX, check_file_path,
};
use std::{
    fs::Metadata,
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// One file to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LocalFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its path within the version.
    pub name: String,
    /// Its size, bytes.
    pub size: u64,
    /// When it was last changed, where the file system records that: detects files that change
    /// during the upload.
    pub modified: Option<SystemTime>,
}

/// Why a path can't be published.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilesError {
    /// It can't be read.
    #[error("cannot read {}: {error}", .path.display())]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// A folder without a file, or without a byte in any of them.
    #[error("there is nothing in {}; a version needs at least one file that is not \
        empty", .0.display())]
    Empty(PathBuf),
    /// A socket, device or the like.
    #[error("{} is neither a file nor a folder", .0.display())]
    Special(PathBuf),
    /// A link that leads out of the folder: its target may not be meant for publication.
    #[error(
        "{} is a link to {}, outside the folder that is published; replace it by a copy (`cp -rL` \
            does)",
        .link.display(), .target.display()
    )]
    Outside {
        link: PathBuf,
        /// Where it points.
        target: PathBuf,
    },
    /// A link to a folder: it could lead in circles.
    #[error("{} is a link to a folder; only links to files are followed, replace it by a copy (`cp \
        -rL` does)", .0.display())]
    LinkedFolder(PathBuf),
    /// A name that a version can't have, or too much of something.
    #[error("{}: {error}", .path.display())]
    Limit {
        /// The file or folder.
        path: PathBuf,
        /// The rule that it breaks.
        error: ManifestError,
    },
    /// It is not what it was when we began.
    #[error("{} was changed while it was being published; publish again when nothing writes \
        there", .0.display())]
    Changed(PathBuf),
}

impl From<FilesError> for CommandError {
    fn from(error: FilesError) -> Self {
        Self::Usage(error.to_string())
    }
}

/// The files at `path`: itself, or everything below it, sorted by name.
pub(super) fn collect(path: &Path) -> Result<Vec<LocalFile>, FilesError> {
    let metadata = std::fs::metadata(path).map_err(unreadable(path))?;
    let mut files = Vec::new();
    if metadata.is_file() {
        // Model servers expect the name model.onnx.
        let is_onnx = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"));
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();

        files.push(checked(
            path,
            if is_onnx { "model.onnx".into() } else { name },
        )?);
    } else if metadata.is_dir() {
        let root = path.canonicalize().map_err(unreadable(path))?;
        walk(&root, path, "", &mut files)?;
    } else {
        return Err(FilesError::Special(path.into()));
    }

    files.sort_by(|a, b| a.name.cmp(&b.name));
    let size = files
        .iter()
        .fold(0u64, |sum, file| sum.saturating_add(file.size));
    if size == 0 {
        return Err(FilesError::Empty(path.into()));
    }

    if size > VERSION_SIZE_MAX {
        let error = ManifestError::Limit {
            what: "bytes",
            found: size,
            limit: VERSION_SIZE_MAX,
        };

        return Err(FilesError::Limit {
            path: path.into(),
            error,
        });
    }

    Ok(files)
}

/// Fails with the first of `files`, collected at `path`, that has changed.
pub(super) fn check_unchanged(path: &Path, files: &[LocalFile]) -> Result<(), FilesError> {
    let now = collect(path)?;
    let changed = files
        .iter()
        .find(|file| !now.contains(file))
        .or(now.iter().find(|file| !files.contains(file)));

    changed.map_or(Ok(()), |file| Err(FilesError::Changed(file.path.clone())))
}

fn walk(
    root: &Path,
    folder: &Path,
    prefix: &str,
    files: &mut Vec<LocalFile>,
) -> Result<(), FilesError> {
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let entry = entry.map_err(unreadable(folder))?;
        let path = entry.path();
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().map_err(unreadable(&path))?;

        if kind.is_dir() {
            // Bounds how deep we go, too: a path has at most 512 characters.
            check_name(&path, &name)?;
            walk(root, &path, &format!("{name}/"), files)?;
        } else if kind.is_symlink() {
            check_link(root, &path)?;
            files.push(checked(&path, name)?);
        } else {
            files.push(checked(&path, name)?);
        }

        if files.len() > FILES_MAX {
            let error = ManifestError::Limit {
                what: "files",
                found: files.len() as u64,
                limit: FILES_MAX as u64,
            };

            return Err(FilesError::Limit {
                path: root.into(),
                error,
            });
        }
    }

    Ok(())
}

fn check_link(root: &Path, link: &Path) -> Result<(), FilesError> {
    let target = link.canonicalize().map_err(unreadable(link))?;
    if !target.starts_with(root) {
        return Err(FilesError::Outside {
            link: link.into(),
            target,
        });
    }

    if target.is_dir() {
        Err(FilesError::LinkedFolder(link.into()))
    } else {
        Ok(())
    }
}

fn check_name(path: &Path, name: &str) -> Result<(), FilesError> {
    check_file_path(name).map_err(|error| FilesError::Limit {
        path: path.into(),
        error,
    })
}

/// Opens the file, so that an unreadable one is refused before anything is sent.
fn checked(path: &Path, name: String) -> Result<LocalFile, FilesError> {
    check_name(path, &name)?;
    // Checked before it is opened: opening a pipe would block until it has a writer.
    if !std::fs::metadata(path).map_err(unreadable(path))?.is_file() {
        return Err(FilesError::Special(path.into()));
    }

    let opened = std::fs::File::open(path)
        .and_then(|file| file.metadata())
        .map_err(unreadable(path))?;
    Ok(LocalFile {
        path: path.into(),
        name,
        size: opened.len(),
        modified: modified(&opened),
    })
}

fn modified(metadata: &Metadata) -> Option<SystemTime> {
    metadata.modified().ok()
}

fn unreadable(path: &Path) -> impl Fn(io::Error) -> FilesError + '_ {
    move |error| FilesError::Unreadable {
        path: path.into(),
        error,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
