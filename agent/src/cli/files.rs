//! What is to be published: the files below a path, checked before anything is sent.

use regionmesh_protocol::manifest::{ManifestError, check_file_path};
use std::{
    io,
    path::{Path, PathBuf},
};

/// One file to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its path within the version.
    pub name: String,
    /// Its size, bytes.
    pub size: u64,
}

/// Why a path can't be published.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// It can't be read.
    #[error("cannot read {path}: {error}")]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// A folder without a file.
    #[error("there is no file in {0}; a version needs at least one")]
    Empty(PathBuf),
    /// A link, socket, device or the like.
    #[error("{0} is neither a file nor a folder; links are not followed, publish what they point to")]
    Special(PathBuf),
    /// A name that a version can't have.
    #[error("{path}: {error}")]
    Name {
        /// The file.
        path: PathBuf,
        /// The rule that it breaks.
        error: ManifestError,
    },
}

/// The files at `path`: itself, or everything below it, sorted by name.
pub fn collect(path: &Path) -> Result<Vec<LocalFile>, FilesError> {
    let meta = std::fs::metadata(path).map_err(|error| FilesError::Unreadable { path: path.into(), error })?;
    if meta.is_file() {
        // Model servers look for model.onnx, whatever the file was called.
        let is_onnx = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"));
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let name = if is_onnx { "model.onnx".into() } else { name };
        return Ok(vec![checked(path, name)?]);
    }
    let mut files = Vec::new();
    if meta.is_dir() {
        walk(path, "", &mut files)?;
    } else {
        return Err(FilesError::Special(path.into()));
    }
    if files.is_empty() {
        return Err(FilesError::Empty(path.into()));
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<LocalFile>) -> Result<(), FilesError> {
    let unreadable = |error| FilesError::Unreadable { path: folder.into(), error };
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let (path, name) = (entry.path(), format!("{prefix}{}", entry.file_name().to_string_lossy()));
        let kind = entry.file_type().map_err(unreadable)?;
        if kind.is_dir() {
            walk(&path, &format!("{name}/"), files)?;
        } else if kind.is_file() {
            files.push(checked(&path, name)?);
        } else {
            return Err(FilesError::Special(path));
        }
    }
    Ok(())
}

/// Opens the file, so that what can't be read is known before anything is sent.
fn checked(path: &Path, name: String) -> Result<LocalFile, FilesError> {
    check_file_path(&name).map_err(|error| FilesError::Name { path: path.into(), error })?;
    let size = std::fs::File::open(path)
        .and_then(|file| file.metadata())
        .map_err(|error| FilesError::Unreadable { path: path.into(), error })?
        .len();
    Ok(LocalFile { path: path.into(), name, size })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_is_walked_in_order_and_an_onnx_file_gets_its_standard_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("b")).unwrap();
        fs::write(dir.path().join("b/x.txt"), "xx").unwrap();
        fs::write(dir.path().join("a.onnx"), "a").unwrap();
        let names: Vec<_> = collect(dir.path()).unwrap().into_iter().map(|file| (file.name, file.size)).collect();
        assert_eq!(names, [("a.onnx".into(), 1), ("b/x.txt".into(), 2)]);
        assert_eq!(collect(&dir.path().join("a.onnx")).unwrap()[0].name, "model.onnx");
    }

    #[test]
    fn what_cannot_be_published_is_refused_before_anything_is_sent() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(collect(&dir.path().join("nothing")), Err(FilesError::Unreadable { .. })));
        assert!(matches!(collect(dir.path()), Err(FilesError::Empty(_))));
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        assert!(matches!(collect(dir.path()), Err(FilesError::Special(_))));
        fs::remove_file(dir.path().join("link")).unwrap();
        fs::write(dir.path().join("a\nb"), "").unwrap();
        assert!(matches!(collect(dir.path()), Err(FilesError::Name { .. })));
    }
}
