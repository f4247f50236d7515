//! The program from outside: real processes, real sockets, real signals.

mod accounts;
mod commands;
mod configuration;
mod device_login;
mod imports;
mod larder;
mod secrets;
mod serving;
mod stopping;
mod tls;
mod transfers;
mod unknown_authorities;
