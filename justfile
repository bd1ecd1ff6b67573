# Shortcuts; CONTRIBUTING.md explains the commands behind them.

_list:
    @just --list

# Run a mesh of three regions on this machine
up *OPTIONS:
    cargo run --release -- up {{ OPTIONS }}

# Run the checks that take only minutes: formatting, scripts, dependencies, Clippy, cargo doc
lint:
    scripts/test static lints

# Run every check, or the named parts
test *PARTS:
    scripts/test {{ PARTS }}

# Run one module of the end-to-end tests
e2e MODULE:
    cargo test -p regionmesh-tests --test e2e -- {{ MODULE }}::

# Regenerate reference pages and alert rules from the code
generate:
    cargo build
    scripts/generate

# Simulate whole meshes until one breaks a law
sim *OPTIONS:
    cargo run --release -p regionmesh-sim -- run {{ OPTIONS }}

# Measure the figures in the documentation
figures *OPTIONS:
    scripts/figures {{ OPTIONS }}

# Mutate a file and list the mutants that no test catches
mutants FILE:
    cargo mutants --file {{ FILE }}

# Fuzz the DNS server
fuzz SECONDS="600":
    mkdir -p fuzz/corpus/packet
    cargo +nightly fuzz run packet -s none fuzz/corpus/packet fuzz/seeds/packet -- \
        -dict=fuzz/packet.dict -max_len=600 -max_total_time={{ SECONDS }}
