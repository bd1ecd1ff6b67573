//! A configuration for tests: agent `node-0` of the first region. None of its files exist.

use super::Config;
use std::fmt::Write;

/// A configuration with these regions (name, address); `more` is prepended, as TOML.
pub(crate) fn config(regions: &[(&str, &str)], more: &str) -> Config {
    let own = regions.first().map_or("r", |(name, _)| name);
    let mut text = format!(
        r#"
        mesh = "regionmesh.test"
        region = "{own}"
        agent = "node-0"
        data_dir = "/nowhere"
        tls = {{ ca = "/nowhere", certificate = "/nowhere", key = "/nowhere" }}
        listen.mesh = "127.0.0.1:0"
        listen.dns = "127.0.0.1:0"
        listen.api = "127.0.0.1:0"
        listen.serving = "127.0.0.1:0"
        store = {{ url = "file:///nowhere" }}
        "#,
    );

    for (name, ip) in regions {
        let _ = write!(
            text,
            "\n[[regions]]\nname = \"{name}\"\nendpoint = \"{ip}:7443\"\nserving_url = \
                \"http://{ip}:8080\"\n"
        );
    }

    toml::from_str(&(more.to_owned() + &text)).unwrap_or_else(|error| panic!("{error}\n{text}"))
}
