//! What a starting server tells the person before it.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;

use crate::config::Configuration;
use crate::context::Context;
use crate::outcome::Result;

/// Prints where the data is, the addresses, and how to push.
pub fn greet(context: &Context, configuration: &Configuration, root: &Path, addresses: &[SocketAddr]) -> Result {
    let urls: Vec<String> = addresses.iter().map(|address| format!("http://{address}")).collect();
    let facts =
        json!({ "data": root, "addresses": urls, "pid": std::process::id(), "version": env!("CARGO_PKG_VERSION") });
    if context.quiet() {
        return Ok(());
    }
    context.emit(&facts, |out| text(out, configuration, root, &urls, addresses))
}

fn text(
    out: &mut dyn Write,
    configuration: &Configuration,
    root: &Path,
    urls: &[String],
    addresses: &[SocketAddr],
) -> io::Result<()> {
    writeln!(out, "Larder {} is running.", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  data      {}", root.display())?;
    writeln!(out, "  address   {}", urls.join(", "))?;
    if configuration.switch("read_only") {
        writeln!(
            out,
            "  pull      docker pull {}/NAME:TAG   (read-only: pushes are refused)",
            host(configuration, addresses)
        )?;
    } else {
        writeln!(out, "  push      docker push {}/NAME:TAG", host(configuration, addresses))?;
    }
    writeln!(out, "  access    {}", access(configuration))
}

/// The host as people write it before a name.
fn host(configuration: &Configuration, addresses: &[SocketAddr]) -> String {
    if let Some(url) = configuration.text("public_url") {
        return url.split_once("://").map_or(url, |(_, host)| host).to_owned();
    }
    match addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()) {
        Some(address) if address.ip().is_loopback() || address.ip().is_unspecified() => {
            format!("localhost:{}", address.port())
        }
        Some(address) => address.to_string(),
        None => "localhost:5000".to_owned(),
    }
}

fn access(configuration: &Configuration) -> &'static str {
    match configuration.text("access.open") {
        Some("read") => {
            "open: everyone who can reach the address may pull, without an account (access.open = \"read\")"
        }
        Some("write") => {
            "open: everyone who can reach the address may pull, push, delete and manage repositories, without an account (access.open = \"write\")"
        }
        _ => "this machine only, without an account; users and passwords come with a later version",
    }
}
