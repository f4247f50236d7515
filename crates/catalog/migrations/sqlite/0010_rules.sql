-- Rules about what may be pushed, moved and pulled. pattern: a repository's name, or one with wildcards.
CREATE TABLE rules (
    pattern TEXT PRIMARY KEY,
    wildcard INTEGER NOT NULL,
    text TEXT NOT NULL,
    set_at INTEGER NOT NULL,
    set_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX rules_wildcard ON rules (pattern) WHERE wildcard = 1;
