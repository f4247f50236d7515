//! The program from outside: real processes, real sockets, real signals.

mod accounts;
mod backups;
mod commands;
mod configuration;
mod device_login;
mod foreign_urls;
mod imports;
mod larder;
mod ldap;
mod limits;
mod policies;
mod promotion;
mod rules;
mod secrets;
mod serving;
mod sign_up;
mod stopping;
mod telemetry;
mod tls;
mod transfers;
mod unknown_authorities;
mod upkeep;
mod versions;
mod webhooks;
