//! The command line.

pub mod ca;
pub mod serve;
pub mod up;

/// Parses the command line and runs the command.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
