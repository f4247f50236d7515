//! What a starting server tells the person before it.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use larder_server::Server;
use serde_json::json;

use crate::config::Configuration;
use crate::context::Context;
use crate::outcome::Result;
use crate::serve::{Accounts, FIRST_USER, self_signed};

/// Prints where the data is, the addresses, how to push, and how clients come to trust an `authority` of our own.
pub fn greet(
    context: &Context,
    configuration: &Configuration,
    root: &Path,
    server: &Server,
    accounts: &Accounts,
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
        "first_user": match accounts {
            Accounts::FirstMade(password) => json!({ "name": FIRST_USER, "password": password }),
            _ => serde_json::Value::Null,
        },
    });
    // The password of the first user is told nowhere else.
    if context.quiet() && !matches!(accounts, Accounts::FirstMade(_)) {
        return Ok(());
    }
    // Whoever speaks TLS wants it used.
    let addresses = if server.tls_addresses().is_empty() { server.addresses() } else { server.tls_addresses() };
    context.emit(&facts, |out| {
        text(out, configuration, root, &urls, addresses)?;
        access(out, configuration, accounts, &host(configuration, addresses))?;
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
    Ok(())
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

/// Who may do what, and what to do about it.
fn access(out: &mut dyn Write, configuration: &Configuration, accounts: &Accounts, host: &str) -> io::Result<()> {
    let stands_in = configuration.switch("registry2.stand_in");
    let larder = if stands_in { "docker exec CONTAINER larder" } else { "larder" };
    let data =
        if stands_in { String::new() } else { format!(" --data {}", configuration.text("data").unwrap_or_default()) };
    match accounts {
        Accounts::Exist => writeln!(out, "  access    by account: docker login {host}"),
        Accounts::Elsewhere => {
            let by = match configuration.text("access.htpasswd") {
                Some(file) => format!(
                    "everyone in {file} may push, pull and list everything, until there is a user, a robot or a grant"
                ),
                None => "whoever can log in may use repositories of his own, until grants say more".to_owned(),
            };
            writeln!(out, "  access    {by}: docker login {host}")
        }
        Accounts::FirstMade(password) => writeln!(
            out,
            "  access    by account. Nobody said who may log in, so a first user was made, an administrator:\n\n\
             \x20              user      {FIRST_USER}\n\
             \x20              password  {password}   (shown this once)\n\n\
             \x20           docker login {host} --username {FIRST_USER}\n\
             \x20           Others: {larder} user add NAME{data}. To be open to everyone instead, as registry:2 is:\n\
             \x20           {larder} grant add anonymous pull,push,delete,tag-move '**'{data}"
        ),
        Accounts::Open => {
            let open = match configuration.text("access.open") {
                Some("read") => {
                    "everyone who can reach the address may pull, without an account (access.open = \"read\")"
                }
                Some("write") => {
                    "everyone who can reach the address may pull, push, delete and manage repositories, without an account (access.open = \"write\")"
                }
                _ => "this machine only, without an account",
            };
            writeln!(
                out,
                "  access    open: {open}\n            The first user ends that: {larder} user add NAME{data}"
            )
        }
    }
}
