//! What a starting server tells the person before it.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use larder_server::Server;
use serde_json::json;

use crate::config::Configuration;
use crate::context::Context;
use crate::outcome::Result;
use crate::serve::self_signed;

/// Prints where the data is, the addresses, how to push, and how clients come to trust an `authority` of our own.
pub fn greet(
    context: &Context,
    configuration: &Configuration,
    root: &Path,
    server: &Server,
    authority: Option<&Path>,
) -> Result {
    let plain = server.addresses().iter().map(|address| format!("http://{address}"));
    let urls: Vec<String> =
        plain.chain(server.tls_addresses().iter().map(|address| format!("https://{address}"))).collect();
    let facts = json!({
        "data": root,
        "addresses": urls,
        "pid": std::process::id(),
        "version": env!("CARGO_PKG_VERSION"),
        "authority": authority,
    });
    if context.quiet() {
        return Ok(());
    }
    // Whoever speaks TLS wants it used.
    let addresses = if server.tls_addresses().is_empty() { server.addresses() } else { server.tls_addresses() };
    context.emit(&facts, |out| {
        text(out, configuration, root, &urls, addresses)?;
        match authority {
            Some(authority) => {
                let shown = self_signed::trust(authority, &host(configuration, addresses));
                write!(out, "\n{shown}")
            }
            None => Ok(()),
        }
    })
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
