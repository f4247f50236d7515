//! The domain's behaviour, in-process: one binary, a module for each room.

mod deletes;
mod driver;
mod leases;
mod pushes;
mod recognition;
mod register;
mod soak;
mod uploads;
mod verification;
