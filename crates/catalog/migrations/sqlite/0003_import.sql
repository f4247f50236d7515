-- Trees of another registry that were taken over, and blobs whose bytes nobody has hashed since.

ALTER TABLE blobs ADD COLUMN unverified INTEGER NOT NULL DEFAULT 0;
CREATE INDEX blobs_unverified ON blobs (id) WHERE unverified = 1;

-- session: that of the pass under way, part of the keys of what it takes over. complete_since: when the last pass that came to its end began.
CREATE TABLE imports (
    source TEXT PRIMARY KEY,
    session BLOB,
    started_at INTEGER NOT NULL,
    complete_since INTEGER,
    finished_at INTEGER,
    released_at INTEGER,
    report TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX imports_session ON imports (session) WHERE session IS NOT NULL;
