//! The acceptance cases: what people type, literally, with the registry's address in place of HOST.

pub mod clean_up;
pub mod first_model;
pub mod multi_arch;
pub mod no_registry;
pub mod promotion;
pub mod registry_image;
pub mod several_registries;
pub mod versions;
