-- The catalog on SQLite. Integers as keys, digests in one table: random keys are what makes a large database slow.
-- Times are unix milliseconds. A digest is one byte for its algorithm (1 sha256, 2 sha512) and then its bytes.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE digests (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE
) STRICT;

-- AUTOINCREMENT: a later repository never gets the id of a removed one, so rows that outlive it (sweep_queue, taken) stay its own.
CREATE TABLE repositories (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

-- state: 0 live, 1 superseded, 2 deleting, 3 quarantined. A dying key stands beside its successor.
CREATE TABLE blobs (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    digest_id INTEGER NOT NULL REFERENCES digests (id),
    size INTEGER NOT NULL,
    state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),
    review_after INTEGER,
    created_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX blobs_live ON blobs (digest_id) WHERE state = 0;
CREATE INDEX blobs_digest ON blobs (digest_id);
CREATE INDEX blobs_superseded ON blobs (review_after) WHERE state = 1;
CREATE INDEX blobs_deleting ON blobs (id) WHERE state = 2;

CREATE TABLE memberships (
    id INTEGER PRIMARY KEY,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    digest_id INTEGER NOT NULL REFERENCES digests (id),
    created_at INTEGER NOT NULL,
    UNIQUE (repository_id, digest_id)
) STRICT;
CREATE INDEX memberships_digest ON memberships (digest_id, id);

CREATE TABLE manifest_bytes (
    digest_id INTEGER PRIMARY KEY REFERENCES digests (id),
    digest BLOB NOT NULL UNIQUE,
    bytes BLOB NOT NULL
) STRICT;

-- A manifest's row cannot be without its bytes.
CREATE TABLE manifests (
    id INTEGER PRIMARY KEY,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    digest_id INTEGER NOT NULL REFERENCES manifest_bytes (digest_id),
    media_type TEXT NOT NULL,
    artifact_type TEXT,
    subject_id INTEGER,
    size INTEGER NOT NULL,
    total_size INTEGER NOT NULL,
    annotations TEXT,
    incomplete INTEGER NOT NULL,
    pushes INTEGER NOT NULL,
    pushed_at INTEGER NOT NULL,
    pushed_by TEXT NOT NULL,
    pulled_at INTEGER,
    UNIQUE (repository_id, digest_id)
) STRICT;
CREATE INDEX manifests_digest ON manifests (digest_id);

-- kind: 1 config, 2 layer, 3 child. Subjects hold nothing and stand in `referrers`.
CREATE TABLE edges (
    manifest_id INTEGER NOT NULL REFERENCES manifests (id),
    child_id INTEGER NOT NULL REFERENCES digests (id),
    kind INTEGER NOT NULL,
    repository_id INTEGER NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (manifest_id, child_id, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX edges_child ON edges (child_id, repository_id, kind);

-- The digest stands here itself, because the list is ordered by it.
CREATE TABLE referrers (
    subject_id INTEGER NOT NULL REFERENCES digests (id),
    repository_id INTEGER NOT NULL,
    digest BLOB NOT NULL,
    artifact_type TEXT NOT NULL,
    manifest_id INTEGER NOT NULL,
    PRIMARY KEY (subject_id, repository_id, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX referrers_type ON referrers (subject_id, repository_id, artifact_type, digest);

CREATE TABLE tags (
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    name TEXT NOT NULL,
    digest_id INTEGER NOT NULL,
    previous_id INTEGER,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (repository_id, name),
    FOREIGN KEY (repository_id, digest_id) REFERENCES manifests (repository_id, digest_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_digest ON tags (repository_id, digest_id);

-- The history names repository and digests by value: it outlives them.
CREATE TABLE tag_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT NOT NULL,
    name TEXT NOT NULL,
    from_digest BLOB,
    to_digest BLOB,
    how TEXT NOT NULL,
    identity TEXT NOT NULL,
    at INTEGER NOT NULL,
    request_id TEXT
) STRICT;
CREATE INDEX tag_events_tag ON tag_events (repository, name, id);

CREATE TABLE uploads (
    id BLOB PRIMARY KEY,
    repository TEXT NOT NULL,
    identity TEXT NOT NULL,
    algorithm INTEGER NOT NULL,
    durable INTEGER NOT NULL,
    hash_state BLOB NOT NULL,
    started_at INTEGER NOT NULL,
    touched_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX uploads_touched ON uploads (touched_at);

-- Each lease has a row in sweep_queue for as long as it is here; the sweep removes both.
CREATE TABLE leases (
    digest_id INTEGER NOT NULL REFERENCES digests (id),
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    identity TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (digest_id, repository_id, identity)
) STRICT, WITHOUT ROWID;
CREATE INDEX leases_identity ON leases (repository_id, identity);

-- repository_id 0: no repository, only the digest is to be looked at. Rows may outlive their repository.
CREATE TABLE sweep_queue (
    digest_id INTEGER NOT NULL REFERENCES digests (id),
    repository_id INTEGER NOT NULL,
    review_after INTEGER NOT NULL,
    PRIMARY KEY (digest_id, repository_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX sweep_queue_due ON sweep_queue (review_after);

-- What the sweep or the quarantine took from a repository, so that a push that relied on it is refused.
CREATE TABLE taken (
    digest_id INTEGER NOT NULL REFERENCES digests (id),
    repository_id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (digest_id, repository_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX taken_at ON taken (at);

CREATE TABLE quarantined_manifests (
    id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    bytes BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    repository TEXT,
    payload TEXT NOT NULL,
    identity TEXT NOT NULL,
    at INTEGER NOT NULL,
    request_id TEXT
) STRICT;

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    run_after INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    error TEXT,
    done_at INTEGER
) STRICT;
CREATE INDEX jobs_ready ON jobs (kind, run_after) WHERE done_at IS NULL;
CREATE INDEX jobs_done ON jobs (done_at) WHERE done_at IS NOT NULL;
