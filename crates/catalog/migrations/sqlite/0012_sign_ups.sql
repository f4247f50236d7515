-- Mail addresses whose owners asked for an account and have not opened the link yet. hash: of the link's secret.
CREATE TABLE sign_ups (
    hash BLOB PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sign_ups_expires ON sign_ups (expires_at);
