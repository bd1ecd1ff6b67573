//! Files of an agent's data directory.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

/// Replaces a file atomically: writes and syncs a new one and renames it over the old. Blocks.
pub fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let new_path = path.with_extension("new");
    let mut file = File::create(&new_path)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&new_path, path)
}
