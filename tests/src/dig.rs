//! Questions to DNS servers: by dig, and as bytes.

use std::net::SocketAddr;
use tokio::process::Command;

/// How dig ended.
#[derive(Debug)]
pub struct DigOutput {
    /// Whether its exit code was 0.
    pub is_success: bool,
    /// What it printed.
    pub text: String,
}

/// Runs dig once, without retries, with the words of `question` as its arguments.
pub async fn dig(server: SocketAddr, timeout_s: u32, question: &str) -> DigOutput {
    let at = format!("@{}", server.ip());
    let port = server.port().to_string();
    let time = format!("+time={timeout_s}");
    let output = Command::new("dig")
        .args([&at, "-p", &port, &time, "+tries=1"])
        .args(question.split(' '))
        .output()
        .await
        .expect("dig");

    DigOutput {
        is_success: output.status.success(),
        text: String::from_utf8(output.stdout).expect("text"),
    }
}

/// A query for the IPv4 addresses of a name (RFC 1035 §4.1).
pub fn address_query(name: &str) -> Vec<u8> {
    let mut message = b"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }

    message.extend(b"\x00\x00\x01\x00\x01");
    message
}
