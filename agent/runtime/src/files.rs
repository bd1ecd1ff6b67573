//! Files of an agent's data directory.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

/// Writes a file whole or not at all: beside it, made durable, then renamed over the old. Blocks.
pub fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)
}
