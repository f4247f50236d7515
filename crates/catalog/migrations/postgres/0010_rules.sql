-- Rules about what may be pushed, moved and pulled. pattern: a repository's name, or one with wildcards.
CREATE TABLE rules (
    pattern TEXT COLLATE "C" PRIMARY KEY,
    wildcard BIGINT NOT NULL,
    text TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    set_by TEXT NOT NULL
);
CREATE INDEX rules_wildcard ON rules (pattern) WHERE wildcard = 1;
