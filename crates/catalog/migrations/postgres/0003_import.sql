-- Trees of another registry that were taken over, and blobs whose bytes nobody has hashed since.

ALTER TABLE blobs ADD COLUMN unverified BIGINT NOT NULL DEFAULT 0;
CREATE INDEX blobs_unverified ON blobs (id) WHERE unverified = 1;

-- session: that of the pass under way, part of the keys of what it takes over. complete_since: when the last pass that came to its end began.
CREATE TABLE imports (
    source TEXT COLLATE "C" PRIMARY KEY,
    session BYTEA,
    started_at BIGINT NOT NULL,
    complete_since BIGINT,
    finished_at BIGINT,
    released_at BIGINT,
    report TEXT
);
CREATE INDEX imports_session ON imports (session) WHERE session IS NOT NULL;
