-- Lifecycle policies, what became of them, and when somebody last counted on a manifest.

-- Pushed again, or asked for by one who may push: a push in flight may rely on it.
ALTER TABLE manifests ADD COLUMN renewed_at INTEGER;

-- pattern: a repository's name, or one with wildcards.
CREATE TABLE policies (
    pattern TEXT PRIMARY KEY,
    wildcard INTEGER NOT NULL,
    text TEXT NOT NULL,
    set_at INTEGER NOT NULL,
    set_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX policies_wildcard ON policies (pattern) WHERE wildcard = 1;

-- What was last shown of a repository's policy, and why it is paused.
CREATE TABLE policy_states (
    repository_id INTEGER PRIMARY KEY REFERENCES repositories (id),
    previewed TEXT,
    previewed_count INTEGER,
    previewed_at INTEGER,
    paused TEXT,
    paused_at INTEGER
) STRICT;

-- Runs name their repository by value: they outlive it.
CREATE TABLE policy_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT NOT NULL,
    identity TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    finished_at INTEGER NOT NULL,
    report TEXT NOT NULL
) STRICT;
CREATE INDEX policy_runs_repository ON policy_runs (repository, id);
CREATE INDEX policy_runs_finished ON policy_runs (finished_at);
