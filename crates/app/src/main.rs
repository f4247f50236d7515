//! A container registry for machine-learning teams.

fn main() {}
