//! The server queried by third-party clients.

use super::*;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use std::process::Command;

#[tokio::test]
async fn a_stock_resolver_accepts_the_answers() {
    let server = running(Some(three(1, [0, 1, 0]))).await;
    for protocol in [ConnectionConfig::udp, ConnectionConfig::tcp] {
        let mut connection = protocol();
        connection.port = server.address.port();

        let server = NameServerConfig::new(server.address.ip(), true, vec![connection]);
        let config = ResolverConfig::from_name_servers(vec![server]);
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());

        builder.options_mut().case_randomization = true;
        builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4AndIpv6;

        let resolver = builder.build().unwrap();
        let found: Vec<IpAddr> = resolver
            .lookup_ip("serving.regionmesh.test.")
            .await
            .unwrap()
            .iter()
            .collect();

        assert_eq!(found, ["127.0.0.12".parse::<IpAddr>().unwrap()]);
        assert_eq!(
            resolver
                .lookup("regionmesh.test.", RecordType::NS)
                .await
                .unwrap()
                .answers()
                .len(),
            3
        );

        let error = resolver
            .lookup_ip("nothing.regionmesh.test.")
            .await
            .unwrap_err();

        assert!(error.is_nx_domain(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dig_accepts_the_answers() {
    if Command::new("dig").arg("-v").output().is_err() {
        eprintln!("skipped: dig is not installed (dnsutils)");
        return;
    }

    let server = running(Some(three(9, [0, 0, 1]))).await;
    let port = server.address.port().to_string();
    let dig = |arguments: &[&str]| {
        let output = Command::new("dig")
            .args(["@127.0.0.1", "-p", &port, "+time=5", "+tries=1"])
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();

        assert!(
            output.status.success() && !text.to_ascii_lowercase().contains("warning"),
            "{arguments:?}: {text}"
        );

        text
    };

    for transport in ["+notcp", "+tcp"] {
        let text = dig(&[transport, "+norec", "serving.regionmesh.test", "A"]);
        assert!(
            text.contains("status: NOERROR") && text.contains("flags: qr aa;"),
            "{text}"
        );

        assert!(
            text.contains("127.0.0.13") && text.contains("EDNS: version: 0, flags:; udp: 1232"),
            "{text}"
        );
    }

    assert!(dig(&["+norec", "+noedns", "nothing.regionmesh.test"]).contains("status: NXDOMAIN"));
    assert!(dig(&["+norec", "example.org"]).contains("status: REFUSED"));
    assert!(
        dig(&[
            "+norec",
            "+ednsflags=0",
            "+edns=9",
            "+noednsneg",
            "regionmesh.test",
            "SOA"
        ])
        .contains("BADVERS")
    );

    assert!(dig(&["+norec", "+nsid", "regionmesh.test", "NS"]).contains("us-west-2/node-0"));
    assert!(dig(&["+short", "_plan.regionmesh.test", "TXT"]).contains("seq=9"));
    assert!(dig(&["+norec", "+opcode=notify", "regionmesh.test"]).contains("status: NOTIMP"));
    assert!(dig(&["+norec", "regionmesh.test", "ANY"]).contains("RFC8482"));
    assert!(dig(&["regionmesh.test", "AXFR"]).contains("Transfer failed"));
}
