//! Queries the zone's own name servers.

use super::api::{HostedZone, Timeouts};
use crate::providers::{Expected, ProviderError};
use futures::future::join_all;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
    proto::rr::{Name, RData, RecordType},
};
use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// Timeout of one query.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause before a server is queried again.
const PAUSE: Duration = Duration::from_millis(500);
/// Port of DNS.
const PORT: u16 = 53;

/// A name server of the zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NameServer {
    /// Its name; empty where it was given by address.
    pub(crate) name: String,
    /// Where it answers.
    pub(crate) address: SocketAddr,
}

impl fmt::Display for NameServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.is_empty() {
            self.address.fmt(f)
        } else {
            write!(f, "{} ({})", self.name, self.address)
        }
    }
}

/// The servers to query: those configured, else those of the hosted zone.
pub(crate) async fn servers(
    configured: &[SocketAddr],
    zone: &HostedZone,
) -> Result<Vec<NameServer>, ProviderError> {
    if !configured.is_empty() {
        return Ok(configured
            .iter()
            .map(|&address| NameServer {
                name: String::new(),
                address,
            })
            .collect());
    }

    if zone.name_servers.is_empty() {
        return Ok(Vec::new());
    }

    let fail = |name: &str, why: String| {
        let what = format!(
            "the name server {name} could not be found ({why}); see dns.route53.name_servers"
        );
        ProviderError::NotYetVisible {
            what,
            waited: Duration::ZERO,
        }
    };

    let resolver = TokioResolver::builder_tokio()
        .and_then(|builder| builder.build())
        .map_err(|error| fail("of the zone", error.to_string()))?;
    let mut servers = Vec::new();

    for name in &zone.name_servers {
        let absolute = format!("{}.", name.trim_end_matches('.'));
        let found = resolver
            .lookup_ip(absolute.as_str())
            .await
            .map_err(|error| fail(name, error.to_string()))?;

        // One address each: the same server is behind all of them.
        let ip: IpAddr = found
            .iter()
            .next()
            .ok_or_else(|| fail(name, "it has no address".into()))?;

        servers.push(NameServer {
            name: name.clone(),
            address: SocketAddr::new(ip, PORT),
        });
    }

    Ok(servers)
}

/// Polls every server until all answer as expected or the timeout ends.
pub(crate) async fn until_visible(
    servers: &[NameServer],
    expected: &[Expected],
    timeout: &Timeouts,
) -> Result<(), ProviderError> {
    let begin = Instant::now();
    loop {
        let asked = servers.iter().map(|server| mismatch(server, expected));
        let Some(what) = join_all(asked).await.into_iter().flatten().next() else {
            return Ok(());
        };

        if begin.elapsed() + PAUSE > timeout.visible {
            return Err(ProviderError::NotYetVisible {
                what,
                waited: begin.elapsed(),
            });
        }

        tracing::debug!(what, "not yet visible");
        tokio::time::sleep(PAUSE).await;
    }
}

/// How one server's answers differ from those expected; none if they don't.
async fn mismatch(server: &NameServer, expected: &[Expected]) -> Option<String> {
    let resolver = match resolver(server) {
        Ok(resolver) => resolver,
        Err(why) => return Some(format!("{server} can't be asked: {why}")),
    };

    for expected in expected {
        let answered = match ask(&resolver, expected).await {
            Ok(answered) => answered,
            Err(why) => {
                return Some(format!(
                    "{server} does not answer {} {}: {why}",
                    expected.name, expected.record_type
                ));
            }
        };

        let wanted: BTreeSet<String> = expected
            .values
            .iter()
            .map(|value| unquoted(value))
            .collect();
        let is_well = if expected.is_exact {
            answered == wanted
        } else {
            !answered.is_empty() && answered.is_subset(&wanted)
        };

        if !is_well {
            let name = &expected.name;
            let record_type = &expected.record_type;
            let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");

            return Some(format!(
                "{server} answers {name} {record_type} with {:?} instead of {:?}",
                list(&answered),
                list(&wanted)
            ));
        }
    }

    None
}

fn resolver(server: &NameServer) -> Result<TokioResolver, String> {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = server.address.port();
        connection
    });

    // Negative answers are trusted: they come from the zone's own servers.
    let name_server = NameServerConfig::new(server.address.ip(), true, connections.into());
    let config = ResolverConfig::from_name_servers(vec![name_server]);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();

    options.cache_size = 0;
    options.timeout = ANSWER_TIMEOUT;
    options.attempts = 2;
    options.use_hosts_file = ResolveHosts::Never;
    builder.build().map_err(|error| error.to_string())
}

async fn ask(resolver: &TokioResolver, expected: &Expected) -> Result<BTreeSet<String>, String> {
    let name = Name::from_ascii(&expected.name).map_err(|error| error.to_string())?;
    let record_type = match expected.record_type.as_str() {
        "A" => RecordType::A,
        "AAAA" => RecordType::AAAA,
        _ => RecordType::TXT,
    };
    let answer = match resolver.lookup(name, record_type).await {
        Ok(answer) => answer,
        // An empty answer counts as an answer.
        Err(error) if error.is_no_records_found() || error.is_nx_domain() => {
            return Ok(BTreeSet::new());
        }
        Err(error) => return Err(error.to_string()),
    };

    let value = |data: &RData| match data {
        RData::A(address) => Some(address.to_string()),
        RData::AAAA(address) => Some(address.to_string()),
        RData::TXT(text) => Some(
            text.txt_data
                .iter()
                .map(|part| String::from_utf8_lossy(part).into_owned())
                .collect::<String>(),
        ),
        _ => None,
    };

    Ok(answer
        .answers()
        .iter()
        .filter(|record| record.record_type() == record_type)
        .filter_map(|record| value(&record.data))
        .collect())
}

fn unquoted(value: &str) -> String {
    value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value)
        .to_owned()
}
