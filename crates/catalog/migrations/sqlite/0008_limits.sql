-- Quotas, what counts towards them, and sessions of the pages that can be listed and ended.

-- Whether the blob counts here: from its upload or mount until the last manifest that names it is deleted.
ALTER TABLE memberships ADD COLUMN counted INTEGER NOT NULL DEFAULT 1;
-- Bytes that quotas keep free for the upload.
ALTER TABLE uploads ADD COLUMN reserved INTEGER NOT NULL DEFAULT 0;
CREATE INDEX uploads_reserved ON uploads (repository) WHERE reserved > 0;

CREATE TABLE quotas (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pattern TEXT NOT NULL UNIQUE,
    bytes INTEGER,
    manifests INTEGER,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL
) STRICT;

-- What is used of a quota is the sum of its rows: several, so that no push waits for the row that another one changes.
CREATE TABLE quota_use (
    quota_id INTEGER NOT NULL REFERENCES quotas (id),
    shard INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    manifests INTEGER NOT NULL,
    PRIMARY KEY (quota_id, shard)
) STRICT, WITHOUT ROWID;

-- Nobody could have one until now.
DROP TABLE sessions;
CREATE TABLE sessions (
    hash BLOB PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    identity TEXT NOT NULL,
    credential TEXT NOT NULL,
    revision INTEGER NOT NULL,
    address TEXT,
    agent TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_identity ON sessions (identity, id);
CREATE INDEX sessions_expires ON sessions (expires_at);
