//! The client against a registry that misbehaves on purpose, and against the local file system.

#![allow(missing_docs, reason = "tests")]

mod auth;
mod credential_helper;
mod download;
mod fake;
mod fan_out;
mod files;
mod images;
mod listener;
mod lists;
mod ranges;
mod upload;
