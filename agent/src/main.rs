//! The `regionmesh` binary: parses the command line and hands over to [`regionmesh::cli`].

fn main() -> std::process::ExitCode {
    regionmesh::cli::main()
}
