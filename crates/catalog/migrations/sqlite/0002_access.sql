-- Who may do what: accounts, groups, grants, tokens, trusts, keys, and the log of changes and denials.
-- Sets of actions and patterns of names are texts as people write them; lists are JSON.

ALTER TABLE repositories ADD COLUMN public INTEGER NOT NULL DEFAULT 0;
ALTER TABLE repositories ADD COLUMN description TEXT NOT NULL DEFAULT '';
ALTER TABLE repositories ADD COLUMN created_by TEXT;
CREATE INDEX repositories_public ON repositories (name) WHERE public = 1;

-- Counts up with every change that decisions depend on.
INSERT INTO meta (key, value) VALUES ('access_version', '1');

-- source: 0 local, 1 OIDC, 2 LDAP. revision counts what ends earlier credentials.
CREATE TABLE users (
    name TEXT PRIMARY KEY,
    administrator INTEGER NOT NULL,
    disabled INTEGER NOT NULL,
    email TEXT,
    password TEXT,
    revision INTEGER NOT NULL,
    source INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_seen INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX users_administrators ON users (name) WHERE administrator = 1 AND disabled = 0;

CREATE TABLE robots (
    name TEXT PRIMARY KEY,
    pattern TEXT NOT NULL,
    description TEXT NOT NULL,
    disabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    last_seen INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE user_groups (
    name TEXT PRIMARY KEY,
    description TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- external: 1 where a directory or an identity provider said so. Users need no row of their own: password files have users too.
CREATE TABLE group_members (
    group_name TEXT NOT NULL REFERENCES user_groups (name),
    user_name TEXT NOT NULL,
    external INTEGER NOT NULL,
    PRIMARY KEY (group_name, user_name)
) STRICT, WITHOUT ROWID;
CREATE INDEX group_members_user ON group_members (user_name, group_name);

-- effect: 0 allow, 1 deny. creator: 1 for the grant that came with the making of a repository and goes with it.
CREATE TABLE grants (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT NOT NULL,
    actions TEXT NOT NULL,
    pattern TEXT NOT NULL,
    effect INTEGER NOT NULL,
    creator INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    note TEXT NOT NULL
) STRICT;
CREATE INDEX grants_subject ON grants (subject, id);
CREATE INDEX grants_pattern ON grants (pattern, id);

-- Patterns that are no range of names, who uses them (`grant:12`, `robot:ci`), and the repositories they match.
CREATE TABLE patterns (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    pattern TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE pattern_uses (
    owner TEXT NOT NULL,
    pattern_id INTEGER NOT NULL REFERENCES patterns (id),
    PRIMARY KEY (owner, pattern_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX pattern_uses_pattern ON pattern_uses (pattern_id);

CREATE TABLE visible (
    pattern_id INTEGER NOT NULL REFERENCES patterns (id),
    name TEXT NOT NULL,
    repository_id INTEGER NOT NULL REFERENCES repositories (id),
    PRIMARY KEY (pattern_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX visible_repository ON visible (repository_id);

-- kind: 0 personal access token, 1 refresh token. The token itself is nowhere; hash is SHA-256 of it.
CREATE TABLE tokens (
    id TEXT PRIMARY KEY,
    hash BLOB NOT NULL UNIQUE,
    kind INTEGER NOT NULL,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    actions TEXT NOT NULL,
    patterns TEXT NOT NULL,
    parent TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_owner ON tokens (owner, id);
CREATE INDEX tokens_personal ON tokens (id) WHERE kind = 0;
CREATE INDEX tokens_refresh ON tokens (expires_at) WHERE kind = 1;

CREATE TABLE trusts (
    name TEXT PRIMARY KEY,
    issuer TEXT NOT NULL,
    audience TEXT NOT NULL,
    conditions TEXT NOT NULL,
    actions TEXT NOT NULL,
    patterns TEXT NOT NULL,
    single_use INTEGER NOT NULL,
    max_age INTEGER,
    ttl INTEGER NOT NULL,
    disabled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX trusts_issuer ON trusts (issuer, name);

-- Assertions of trusts that take each one once.
CREATE TABLE used_assertions (
    issuer TEXT NOT NULL,
    jti TEXT NOT NULL,
    until INTEGER NOT NULL,
    PRIMARY KEY (issuer, jti)
) STRICT, WITHOUT ROWID;
CREATE INDEX used_assertions_until ON used_assertions (until);

CREATE TABLE signing_keys (
    id TEXT PRIMARY KEY,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    retired_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE invitations (
    hash BLOB PRIMARY KEY,
    user_name TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX invitations_user ON invitations (user_name);
CREATE INDEX invitations_expires ON invitations (expires_at);

CREATE TABLE sessions (
    hash BLOB PRIMARY KEY,
    identity TEXT NOT NULL,
    credential TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_identity ON sessions (identity);
CREATE INDEX sessions_expires ON sessions (expires_at);

-- outcome: 0 allowed, 1 denied, 2 failed. fold: what is counted in one row.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    identity TEXT NOT NULL,
    credential TEXT,
    address TEXT,
    action TEXT NOT NULL,
    repository TEXT,
    object TEXT,
    outcome INTEGER NOT NULL,
    request_id TEXT,
    count INTEGER NOT NULL,
    detail TEXT,
    fold TEXT
) STRICT;
CREATE INDEX audit_identity ON audit (identity, id);
CREATE INDEX audit_repository ON audit (repository, id) WHERE repository IS NOT NULL;
CREATE UNIQUE INDEX audit_fold ON audit (fold) WHERE fold IS NOT NULL;
