//! Under which names the API answers: a defence against DNS rebinding.
//!
//! A web page of an attacker may resolve its own name to an agent's address; the browser then lets
//! the page read what the API answers, since for the browser page and API have one origin. It can't
//! hide the name, though: it stands in the request. So a name that is not known here is refused
//! with 421 (RFC 9110 §15.5.20), on every route. Addresses are accepted whatever they are: a page
//! can't have a foreign address as its name and be an attacker's.

use super::{ROUTES, Route, reply::ApiError};
use crate::config::Config;
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, Uri, Version, header, uri::Authority};
use regionmesh_runtime::logging::Throttle;
use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// Longest name that a refusal quotes, characters.
const QUOTED_MAX: usize = 80;

/// The names of this agent's API.
#[derive(Debug)]
pub(super) struct Hosts {
    names: BTreeSet<String>,
    /// Each begins with a dot.
    suffixes: Vec<String>,
}

impl Hosts {
    /// `localhost`, every host that the configuration names, the zone's names, and `api.hosts`.
    pub(super) fn of(config: &Config) -> Self {
        let mut hosts = Self {
            names: BTreeSet::new(),
            suffixes: Vec::new(),
        };

        hosts.add("localhost");
        for region in &config.regions {
            hosts.add(host_of(&region.endpoint));
            if let Some(host) = region
                .serving_url
                .parse::<Uri>()
                .ok()
                .as_ref()
                .and_then(Uri::host)
            {
                hosts.add(host);
            }

            if let Some(route53) = &config.dns.route53 {
                hosts.add(&route53.agent_host(&region.name, &region.endpoint));
            }
        }

        config
            .local_peers
            .iter()
            .for_each(|peer| hosts.add(host_of(peer)));

        config
            .dns
            .name_servers
            .iter()
            .for_each(|server| hosts.add(server));

        // Names of the zone resolve to addresses of this mesh alone.
        hosts.add(&config.dns.zone);
        hosts.add(&format!(".{}", config.dns.zone));
        config.api.hosts.iter().for_each(|host| hosts.add(host));
        hosts
    }

    fn add(&mut self, host: &str) {
        let host = normal(host);
        if host.starts_with('.') {
            self.suffixes.push(host);
        } else if !host.is_empty() {
            self.names.insert(host);
        }
    }

    fn admit(&self, host: &str) -> bool {
        let host = normal(host);
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(&host);

        bare.parse::<IpAddr>().is_ok()
            || self.names.contains(&host)
            || self
                .suffixes
                .iter()
                .any(|suffix| host.ends_with(suffix.as_str()) && host.len() > suffix.len())
    }

    /// Whether a request is for this agent: by its target (absolute form, `:authority` of HTTP/2)
    /// and its Host header.
    fn check(&self, version: Version, target: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
        let mut named = headers.get_all(header::HOST).iter();
        let header = named.next();
        if named.next().is_some() {
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "the request has several Host headers",
                "send one",
            ));
        }

        let authority = target.authority();
        if let Some(authority) = authority {
            self.check_name(authority.as_str())?;
        }

        match header {
            Some(value) => self.check_name(value.to_str().unwrap_or_default()),
            // HTTP/1.0 has no Host header, and no browser speaks it.
            None if authority.is_some() || version < Version::HTTP_11 => Ok(()),
            None => {
                let hint = "send the host that is asked in the header Host (RFC 9112 §3.2)";
                Err(ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "the request has no Host header",
                    hint,
                ))
            }
        }
    }

    fn check_name(&self, name: &str) -> Result<(), ApiError> {
        let quoted = || name.chars().take(QUOTED_MAX).collect::<String>();
        let malformed = || {
            let error = format!("{:?} is not a host and port", quoted());
            ApiError::new(
                StatusCode::BAD_REQUEST,
                error,
                "send the header Host: NAME or NAME:PORT",
            )
        };

        let authority: Authority = name.parse().map_err(|_| malformed())?;
        let port = name.strip_prefix(authority.host()).ok_or_else(malformed)?;
        let is_port = port.is_empty()
            || port
                .strip_prefix(':')
                .is_some_and(|port| port.parse::<u16>().is_ok());

        if authority.host().is_empty() || !is_port {
            return Err(malformed());
        }
        if self.admit(authority.host()) {
            return Ok(());
        }

        let error = format!("{:?} is not a name of this agent's API", quoted());
        let hint =
            "ask it by its address, or add the name to api.hosts in the agent's configuration";

        Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, error, hint))
    }
}

/// Lower case, without the dot at its end: names are equal without regard to both.
fn normal(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

fn host_of(host_port: &str) -> &str {
    host_port
        .rsplit_once(':')
        .map_or(host_port, |(host, _)| host)
}

/// Refuses a request for another host.
pub(super) async fn guard(
    State(hosts): State<Arc<Hosts>>,
    request: Request,
    next: Next,
) -> Response {
    static REFUSED: Throttle = Throttle::new(Duration::from_secs(60));

    let Err(error) = hosts.check(request.version(), request.uri(), request.headers()) else {
        return next.run(request).await;
    };
    if is_unauthorized(&request) {
        return next.run(request).await;
    }
    if let Some(left_out) = REFUSED.admit(Instant::now()) {
        tracing::warn!(%error, left_out, "a request was refused because of the host that it named; \
            see api.hosts");
    }

    error.into_response()
}

/// Whether it asks for a change without any token: 401 whatever the host, since who it is comes
/// before what it asked.
fn is_unauthorized(request: &Request) -> bool {
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("", MatchedPath::as_str);
    let method = request.method().as_str();
    let is_change =
        |route: &&Route| route.path == path && route.method.eq_ignore_ascii_case(method);

    !request.headers().contains_key(header::AUTHORIZATION)
        && ROUTES
            .iter()
            .find(is_change)
            .is_some_and(|route| route.needs_token)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::fixture;

    fn hosts() -> Hosts {
        let more = "dns = { zone = \"mesh.example.org\", name_servers = [\"ns.example.net\"] }\n\
                    api = { hosts = [\"Console.Example.org\", \".svc.cluster.local\"] }\n";
        let mut config = fixture::config(&[("a", "127.0.0.11")], more);

        config.regions[0].endpoint = "mesh.a.example.org:7443".into();
        config.local_peers.push("agents.regionmesh.svc:7443".into());
        Hosts::of(&config)
    }

    fn answered(version: Version, target: &str, host: Option<&str>) -> u16 {
        let mut headers = HeaderMap::new();
        if let Some(host) = host {
            headers.insert(header::HOST, host.parse().unwrap());
        }

        let checked = hosts().check(version, &target.parse().unwrap(), &headers);
        checked.map_or_else(|error| error.into_response().status().as_u16(), |()| 200)
    }

    #[test]
    fn addresses_localhost_and_names_of_the_configuration_are_answered() {
        for host in [
            "127.0.0.11:9080",
            "203.0.113.9",
            "[2001:db8::1]:9080",
            "[::1]",
            "localhost:1",
            "LOCALHOST",
            "localhost.",
            "mesh.a.example.org",
            "agents.regionmesh.svc",
            "console.example.org:443",
            "regionmesh-api.regionmesh.svc.cluster.local",
            "serving.mesh.example.org",
            "ns.example.net",
        ] {
            assert_eq!(
                answered(Version::HTTP_11, "/v1/status", Some(host)),
                200,
                "{host}"
            );
        }
    }

    #[test]
    fn other_names_are_misdirected() {
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "svc.cluster.local",
            "xsvc.cluster.local",
            "example.org",
            "evilmesh.example.org",
        ] {
            assert_eq!(
                answered(Version::HTTP_11, "/v1/status", Some(host)),
                421,
                "{host}"
            );
        }

        assert_eq!(
            answered(
                Version::HTTP_11,
                "http://evil.example/v1/status",
                Some("localhost")
            ),
            421
        );

        assert_eq!(
            answered(
                Version::HTTP_11,
                "http://localhost/v1/status",
                Some("evil.example")
            ),
            421
        );

        assert_eq!(
            answered(Version::HTTP_2, "https://evil.example/v1/status", None),
            421
        );

        assert_eq!(
            answered(Version::HTTP_2, "https://localhost/v1/status", None),
            200
        );
    }

    #[test]
    fn a_request_without_a_host_or_with_none_that_is_one_is_bad() {
        assert_eq!(answered(Version::HTTP_11, "/v1/status", None), 400);
        assert_eq!(answered(Version::HTTP_10, "/v1/status", None), 200);
        for host in [
            "",
            ":9080",
            "a b",
            "user@localhost",
            "localhost:port",
            "http://localhost",
        ] {
            assert_eq!(
                answered(Version::HTTP_11, "/v1/status", Some(host)),
                400,
                "{host:?}"
            );
        }
    }
}
