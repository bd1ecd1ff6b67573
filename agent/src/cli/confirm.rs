//! Confirmation of what can't be undone.

use crate::cli::error::CommandError;
use anyhow::Result;
use std::io::{self, BufRead, IsTerminal, Write};

/// Asks for confirmation on a terminal; elsewhere `--yes` is required. An answer other than yes is
/// an error.
pub(super) fn confirm(question: &str, is_confirmed: bool) -> Result<()> {
    if is_confirmed {
        return Ok(());
    }

    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(CommandError::Usage(format!(
            "{question} Repeat the command with --yes to confirm."
        ))
        .into());
    }

    eprint!("{question} [y/N] ");
    io::stderr().flush()?;

    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(anyhow::anyhow!("not confirmed; nothing was changed")),
    }
}
