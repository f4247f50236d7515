//! The domain's behaviour, in-process: one binary, a module for each room.

mod backups;
mod deletes;
mod driver;
mod dropped;
mod faults;
mod grants;
mod hooked;
mod import;
mod kept;
mod leases;
mod memory;
mod messages;
mod model;
mod policy;
mod pushes;
mod readiness;
mod recognition;
mod register;
mod scrubbing;
mod soak;
mod space;
mod stalls;
mod trash;
mod uploads;
mod verification;
mod webhooks;
