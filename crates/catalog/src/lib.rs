//! What exists and how it is linked: one catalog on SQLite and PostgreSQL.
