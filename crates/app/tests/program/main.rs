//! The program from outside: real processes, real sockets, real signals.

mod accounts;
mod commands;
mod configuration;
mod device_login;
mod imports;
mod larder;
mod limits;
mod policies;
mod rules;
mod secrets;
mod serving;
mod stopping;
mod telemetry;
mod tls;
mod transfers;
mod unknown_authorities;
mod upkeep;
mod versions;
mod webhooks;
