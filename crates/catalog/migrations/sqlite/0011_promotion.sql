-- Stages: which there are, what stands and stood in them, who approves, and who pulls what stands there.

-- pattern: a repository's name, or one with wildcards. tags: the stages that are tags, as a JSON list.
CREATE TABLE stage_sets (
    pattern TEXT PRIMARY KEY,
    wildcard INTEGER NOT NULL,
    text TEXT NOT NULL,
    tags TEXT NOT NULL,
    set_at INTEGER NOT NULL,
    set_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX stage_sets_wildcard ON stage_sets (pattern) WHERE wildcard = 1;

-- Every name that is a stage somewhere: most tags are none, which one look here tells.
CREATE TABLE stage_names (
    name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
INSERT INTO stage_names (name) VALUES ('dev'), ('staging'), ('prod');

-- Counts up with every change of the stages.
INSERT INTO meta (key, value) VALUES ('stages_version', '1');

-- What stands or stood in a stage, by value. stood: milliseconds of stays that are over.
CREATE TABLE stage_entries (
    repository TEXT NOT NULL,
    stage TEXT NOT NULL,
    digest BLOB NOT NULL,
    entered_at INTEGER NOT NULL,
    left_at INTEGER,
    stood INTEGER NOT NULL,
    how TEXT NOT NULL,
    identity TEXT NOT NULL,
    reason TEXT,
    PRIMARY KEY (repository, stage, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX stage_entries_standing ON stage_entries (repository, stage) WHERE left_at IS NULL;
CREATE INDEX stage_entries_left ON stage_entries (left_at) WHERE left_at IS NOT NULL;

INSERT INTO stage_entries (repository, stage, digest, entered_at, stood, how, identity)
SELECT r.name, t.name, d.digest, t.updated_at, 0, 'push', '' FROM tags t
JOIN repositories r ON r.id = t.repository_id JOIN digests d ON d.id = t.digest_id WHERE t.name IN ('dev', 'staging', 'prod');

CREATE TABLE approvals (
    repository TEXT NOT NULL,
    stage TEXT NOT NULL,
    digest BLOB NOT NULL,
    identity TEXT NOT NULL,
    at INTEGER NOT NULL,
    reason TEXT,
    PRIMARY KEY (repository, stage, digest, identity)
) STRICT, WITHOUT ROWID;
CREATE INDEX approvals_at ON approvals (at);

-- The last pull of each identity.
CREATE TABLE stage_pulls (
    repository TEXT NOT NULL,
    stage TEXT NOT NULL,
    identity TEXT NOT NULL,
    digest BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (repository, stage, identity)
) STRICT, WITHOUT ROWID;
CREATE INDEX stage_pulls_at ON stage_pulls (at);

-- What was answered to a request with an idempotency key.
CREATE TABLE kept_answers (
    identity TEXT NOT NULL,
    key TEXT NOT NULL,
    request TEXT NOT NULL,
    answer TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (identity, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX kept_answers_at ON kept_answers (at);
