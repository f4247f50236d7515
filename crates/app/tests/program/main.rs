//! The program from outside: real processes, real sockets, real signals.

mod accounts;
mod backups;
mod commands;
mod configuration;
mod device_login;
mod imports;
mod larder;
mod limits;
mod policies;
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
