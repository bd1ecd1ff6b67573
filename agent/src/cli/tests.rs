use super::*;
use anyhow::{Context, anyhow};
use clap::{CommandFactory, Parser, error::ErrorKind};

/// Command lines of the documentation.
const DOCUMENTED: &[&str] = &[
    "regionmesh up --regions a,b,c --agents-per-region 2 --model m=path",
    "regionmesh status",
    "regionmesh status --json --agent http://a:1 --agent http://b:1",
    "regionmesh status --watch --data-dir d",
    "regionmesh models publish m 1 path",
    "regionmesh models publish m 1 path --agent http://127.0.0.11:9080 --token-file token",
    "regionmesh models publish m 1 path --by me --meta k=v --meta l=w --wait --json",
    "regionmesh models publish m 1 path --wait --timeout 10s",
    "regionmesh models publish --wait m 1 path",
    "regionmesh models ls",
    "regionmesh models rm m 1 -y",
    "regionmesh models describe m -o yaml",
    "regionmesh --data-dir d -a 10.0.0.7 -o name --color never -v status",
    "regionmesh failover -o json status",
    "regionmesh version --client",
    "regionmesh completions zsh",
    "regionmesh docs alerts",
    "regionmesh models list --json",
    "regionmesh models show m",
    "regionmesh models show m 1 --json",
    "regionmesh models verify m 1 --region eu-west-1 --json",
    "regionmesh models delete m 1+conflict.eu-west-1",
    "regionmesh models promote m 1 production --by me",
    "regionmesh models promote m 1 production --force --timeout 0s",
    "regionmesh models retry m 1 --region a",
    "regionmesh dns plan --config file --agent http://a:1 --json --check",
    "regionmesh dns plan --from-config file",
    "regionmesh dns apply --config file --no-wait",
    "regionmesh dns apply --from-config file --json",
    "regionmesh failover drain eu-west-1 --for 2h --by ann --why maintenance --json",
    "regionmesh failover drain eu-west-1 --yes",
    "regionmesh failover drain eu-west-1 --force",
    "regionmesh failover hold --for 30m --force",
    "regionmesh failover promote eu-west-1 --immediate --force",
    "regionmesh alerts",
    "regionmesh alerts --state all --json --agent http://a:1",
    "regionmesh failover hold eu-west-1",
    "regionmesh failover promote eu-west-1 --for 90s",
    "regionmesh failover restore eu-west-1 --why done",
    "regionmesh failover restore",
    "regionmesh failover status --json --agent http://a:1",
    "regionmesh failover history --limit 5",
    "regionmesh failover explain eu-west-1 --json",
    "regionmesh failover simulate --what-if eu-west-1=failed --what-if us-west-2=draining \
        --json",
    "regionmesh failover simulate --kill eu-west-1 --data-dir d --yes",
    "regionmesh failover drain eu-west-1 --for 1h30m",
    "regionmesh cost report --start-date 2026-09-01 --end-date 2026-09-30 --by \
        region,tag:team --metric billed --format html",
    "regionmesh cost trends --files a.csv b.csv --interval week",
    "regionmesh cost import a b --dry-run -o json",
    "regionmesh cost prices import p.csv --valid-from 2026-09-01",
    "regionmesh optimizer --output recommendations.json --baseline peak --latency-ms 150 \
        --survive 1",
    "regionmesh optimizer",
    "regionmesh events --limit 20 --json --agent http://a:1",
    "regionmesh events -f --since 1h30m",
    "regionmesh events --since 2026-11-29T00:00:00Z",
    "regionmesh events --follow --kind verdict,ramp --region eu-west-1 --severity warning",
    "regionmesh agent --config file --check",
    "regionmesh agent --config file --drain 10s",
    "regionmesh agent --config file --drain-seconds 10",
    "regionmesh serve --models dir",
    "regionmesh serve --models dir --drain 15s",
    "regionmesh front-door --service serving.m.test --name-server 10.0.0.1:5300 \
        --name-server [::1]:53 --listen 0.0.0.0:80",
    "regionmesh ca init --mesh m --dir d",
    "regionmesh ca issue --dir d --region r --agent a",
];

fn parse(line: &str) -> Result<CommandLine, clap::Error> {
    CommandLine::try_parse_from(line.split(' '))
}

#[test]
fn the_command_line_is_well_formed() {
    CommandLine::command().debug_assert();
}

#[test]
fn every_documented_command_is_accepted() {
    for line in DOCUMENTED {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
    }
}

#[test]
fn bad_usage_is_refused_before_anything_runs() {
    for line in [
        "regionmesh nonsense",
        "regionmesh front-door --service serving.m.test",
        "regionmesh front-door --name-server 10.0.0.1:5300",
        "regionmesh front-door --service s --name-server somewhere",
        "regionmesh agent",
        "regionmesh models",
        "regionmesh models publish m 1",
        "regionmesh models publish ../x 1 path",
        "regionmesh models publish m 1/2 path",
        "regionmesh models publish m 1+conflict.eu-west-1 path",
        "regionmesh models publish m 1 path --meta novalue",
        "regionmesh models publish m 1 path --wait --timeout soon",
        "regionmesh models publish m 1 path --timeout 5",
        "regionmesh models list --output xml",
        "regionmesh models list --agent ftp://x",
        "regionmesh events --since yesterday",
        "regionmesh serve --models dir --drain 5",
        "regionmesh ca issue --dir d --region r --agent a/b",
        "regionmesh ca issue --dir d --region r --agent a --days 36501",
        "regionmesh models verify m 1 --region EU",
        "regionmesh dns",
        "regionmesh dns plan",
        "regionmesh dns apply --config a --from-config b",
        "regionmesh failover",
        "regionmesh failover drain",
        "regionmesh failover drain EU",
        "regionmesh failover drain eu-west-1 --for 0s",
        "regionmesh failover drain eu-west-1 --for 31d",
        "regionmesh failover drain eu-west-1 --for soon",
        "regionmesh failover promote",
        "regionmesh failover explain",
        "regionmesh failover simulate",
        "regionmesh failover simulate --what-if eu-west-1",
        "regionmesh failover simulate --what-if eu-west-1=sleepy",
        "regionmesh failover simulate --kill a --what-if b=failed",
        "regionmesh failover drain eu-west-1 --immediate",
        "regionmesh failover restore eu-west-1 --force",
        "regionmesh alerts --state over",
        "regionmesh cost",
        "regionmesh cost import",
        "regionmesh cost report --currency USD",
        "regionmesh cost import a --currency dollars!",
        "regionmesh events --kind verdicts",
        "regionmesh events --region EU",
        "regionmesh events --limit 0",
        "regionmesh ca init --mesh m --dir d --days 0",
        "regionmesh ca issue --dir d --region r --agent a --days 0",
        "regionmesh models promote m 1 ../production",
        "regionmesh models promote m 1 a+conflict.eu-west-1",
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
    }

    let error = parse("regionmesh models publish ../x 1 path")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("model name \"../x\" is not valid"),
        "{error}"
    );
}

#[test]
fn the_version_is_printed() {
    let error = parse("regionmesh --version").unwrap_err();
    assert_eq!(
        (error.kind(), error.exit_code()),
        (ErrorKind::DisplayVersion, 0)
    );

    assert_eq!(
        error.to_string(),
        format!("regionmesh {}\n", regionmesh::VERSION)
    );
}

#[test]
fn exit_codes_distinguish_usage_absence_and_failure_in_any_context() {
    let no_agent = || ClientError::NoAgent { tried: Vec::new() };
    let refused = |status| ClientError::Refused {
        error: "e".into(),
        hint: String::new(),
        status,
        code: String::new(),
    };
    let unavailable = refused(http::StatusCode::SERVICE_UNAVAILABLE);
    let refused = refused(http::StatusCode::CONFLICT);
    let config = regionmesh::config::Config::load(std::path::Path::new("/nowhere")).unwrap_err();

    for (error, code) in [
        (CommandError::Usage("u".into()).into(), 2),
        (CommandError::Deadline("d".into()).into(), 3),
        (ClientError::NoToken("t".into()).into(), 2),
        (no_agent().into(), 3),
        (anyhow::Error::new(no_agent()).context("while waiting"), 3),
        (refused.into(), 1),
        (unavailable.into(), 3),
        (anyhow::Error::new(config).context("reading it"), 2),
        (
            regionmesh::local_mesh::LocalMeshError::Options("o".into()).into(),
            2,
        ),
        (anyhow!("anything else"), 1),
        (io::Error::from(io::ErrorKind::BrokenPipe).into(), 1),
        (
            text::OutputError(io::ErrorKind::BrokenPipe.into()).into(),
            0,
        ),
        (
            text::OutputError(io::ErrorKind::StorageFull.into()).into(),
            1,
        ),
    ] {
        assert_eq!(exit_code(&error), code, "{error:#}");
    }
}

#[test]
fn causes_follow_the_error_and_are_not_repeated() {
    let error = Err::<(), _>(io::Error::other("disk on fire"))
        .context("cannot read x")
        .unwrap_err();
    assert_eq!(
        explain(&error),
        "error: cannot read x\n  caused by: disk on fire"
    );

    let config = regionmesh::config::Config::load(std::path::Path::new("/nowhere")).unwrap_err();
    assert_eq!(explain(&config.into()).lines().count(), 1);
}
