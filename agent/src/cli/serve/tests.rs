use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    serve: ServeCommand,
}

fn parse(arguments: &[&str]) -> Result<ServeCommand, clap::Error> {
    Line::try_parse_from(["serve"].iter().chain(arguments)).map(|line| line.serve)
}

#[test]
fn exactly_one_source_is_required_and_only_a_directory_has_a_default_address() {
    assert!(parse(&[]).is_err());
    assert!(parse(&["--models", "d", "--config", "f"]).is_err());
    assert_eq!(
        parse(&["--models", "d"]).unwrap().listen,
        Some("127.0.0.1:8080".parse().unwrap())
    );

    assert_eq!(parse(&["--config", "f"]).unwrap().listen, None);
    assert_eq!(
        parse(&["--config", "f", "--listen", "[::1]:1"])
            .unwrap()
            .listen,
        "[::1]:1".parse().ok()
    );
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let command = parse(&["--models", "/nowhere/models"]).unwrap();
    let error = command.run().await.expect_err("served nothing");
    assert!(
        format!("{error:#}").contains("cannot read the directory of models /nowhere/models"),
        "{error:#}"
    );
}
