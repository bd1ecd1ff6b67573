//! The `regionmesh` binary: the command line, on top of the agent's library.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
