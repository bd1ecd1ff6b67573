//! The file of the operators' tokens (`api.token_file`): one token per line, `TOKEN` or `NAME
//! TOKEN` with the name of its holder.
//!
//! It is read again for each use, so that a new token needs no restart.

use regionmesh_protocol::plan::BY_MAX;
use regionmesh_runtime::describe::io_error;
use std::path::Path;

/// Longest token, bytes.
const TOKEN_MAX: usize = 4_096;
/// Longest file of tokens, bytes.
const TOKEN_FILE_MAX: u64 = 64 << 10;

/// A token, and the name of its holder where the file has one.
pub(crate) type Token<'a> = (Option<&'a str>, &'a str);

/// The text of the file at `path`.
pub(crate) async fn read(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| {
        format!(
            "the token file {} can't be read: {}",
            path.display(),
            io_error(&error)
        )
    };

    if tokio::fs::metadata(path).await.map_err(unreadable)?.len() > TOKEN_FILE_MAX {
        return Err(format!("the token file {} is too large", path.display()));
    }
    tokio::fs::read_to_string(path).await.map_err(unreadable)
}

/// The tokens of a file, one per line: `TOKEN` or `NAME TOKEN`. Empty lines and those that begin
/// with `#` are ignored. Errors name the faulty line, but never quote it.
pub(crate) fn parse(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }

        let wrong = |why: &str| format!("is wrong in line {}: {why}", index + 1);
        let mut words = line.split_whitespace();
        let (name, token) = match (words.next(), words.next(), words.next()) {
            (Some(token), None, _) => (None, token),
            (Some(name), Some(token), None) => (Some(name), token),
            _ => return Err(wrong("more than a name and a token")),
        };

        if token.len() > TOKEN_MAX || name.is_some_and(|name| name.len() > BY_MAX) {
            return Err(wrong("a token or a name is too large"));
        }
        tokens.push((name, token));
    }

    if tokens.is_empty() {
        Err("is empty".into())
    } else {
        Ok(tokens)
    }
}

#[cfg(test)]
mod tests;
