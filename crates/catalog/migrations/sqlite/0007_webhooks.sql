-- Who is told of events, and what was told to whom. Kinds and patterns are JSON lists; cursor is the last event that was looked at.
CREATE TABLE webhooks (
    name TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    format TEXT NOT NULL,
    kinds TEXT NOT NULL,
    patterns TEXT NOT NULL,
    tags TEXT,
    secret BLOB NOT NULL,
    private INTEGER NOT NULL,
    disabled INTEGER NOT NULL,
    cursor INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- state: 0 waiting, 1 done, 2 parked. next_at: only of the oldest that waits in its lane; the others have none until it is their turn.
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook TEXT NOT NULL,
    message TEXT NOT NULL,
    lane TEXT NOT NULL,
    payload TEXT NOT NULL,
    state INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    next_at INTEGER,
    status INTEGER,
    error TEXT,
    created_at INTEGER NOT NULL,
    attempted_at INTEGER,
    finished_at INTEGER
) STRICT;
CREATE INDEX deliveries_log ON deliveries (webhook, id);
CREATE INDEX deliveries_state ON deliveries (webhook, state, id);
CREATE INDEX deliveries_lane ON deliveries (webhook, lane, id) WHERE state = 0;
CREATE INDEX deliveries_due ON deliveries (webhook, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX deliveries_finished ON deliveries (finished_at) WHERE finished_at IS NOT NULL;
