#![allow(clippy::unwrap_used)]

use super::*;
use crate::config::fixture;
use std::path::PathBuf;

#[test]
fn every_changed_field_is_named_and_none_falsely_as_in_effect() {
    let running = fixture::config(&[("a", "127.0.0.1")], "");
    let mut read = running.clone();
    assert_eq!(compare(&running, &read).unwrap(), Reloaded::default());
    read.api.token_file = Some(PathBuf::from("/other"));
    read.dns.ttl_s += 1;
    read.regions[0].weight_bp = 7;
    read.alerts.generator_url = Some("http://dashboard".into());

    let reloaded = compare(&running, &read).unwrap();
    assert_eq!(
        reloaded.in_effect,
        ["alerts.generator_url", "api.token_file"]
    );
    assert_eq!(reloaded.needs_restart, ["dns.ttl_s", "regions"]);
}

#[tokio::test]
async fn an_invalid_file_changes_nothing() {
    let reloader = Reloader::new(
        Arc::new(fixture::config(&[("a", "127.0.0.1")], "")),
        ReloadMetrics::new(&Registry::new()).unwrap(),
    );
    let live = reloader.live();

    assert!(reloader.apply(Path::new("/nowhere")).await.is_err());
    assert!(!live.has_changed().unwrap());
}
