-- Tags in the order of their versions, what images say about themselves, and the trash.

-- Bytes whose order is that of versions. The program writes them, for those before this step too; a later edition of the order writes them again.
ALTER TABLE tags ADD COLUMN version_key BLOB NOT NULL DEFAULT x'';
CREATE INDEX tags_version ON tags (repository_id, version_key DESC, name);
CREATE INDEX tags_time ON tags (repository_id, updated_at DESC, name);

-- JSON object of the labels that tell where an image comes from. The history keeps them by value, for it outlives manifests.
ALTER TABLE manifests ADD COLUMN labels TEXT;
ALTER TABLE tag_events ADD COLUMN labels TEXT;

-- A blob whose last manifest was deleted: nobody reads or mounts it, and a push that was told of it may still rely on it.
ALTER TABLE memberships ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;

-- Manifests that were deleted, with all that brings them back; their bytes stay in manifest_bytes. whole: it went with its repository.
CREATE TABLE trash (
    id INTEGER PRIMARY KEY,
    repository TEXT NOT NULL,
    repository_id INTEGER NOT NULL,
    digest_id INTEGER NOT NULL REFERENCES manifest_bytes (digest_id),
    digest BLOB NOT NULL,
    media_type TEXT NOT NULL,
    artifact_type TEXT,
    subject BLOB,
    size INTEGER NOT NULL,
    total_size INTEGER NOT NULL,
    annotations TEXT,
    labels TEXT,
    incomplete INTEGER NOT NULL,
    pushes INTEGER NOT NULL,
    pushed_at INTEGER NOT NULL,
    pushed_by TEXT NOT NULL,
    pulled_at INTEGER,
    whole INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL,
    deleted_by TEXT NOT NULL,
    until INTEGER NOT NULL,
    UNIQUE (repository_id, digest_id)
) STRICT;
CREATE INDEX trash_repository ON trash (repository, id);
CREATE INDEX trash_digest ON trash (digest_id);
CREATE INDEX trash_until ON trash (until);

-- What they name: a blob that stands here keeps its bytes, though no repository has it.
CREATE TABLE trash_edges (
    trash_id INTEGER NOT NULL REFERENCES trash (id),
    child_id INTEGER NOT NULL REFERENCES digests (id),
    kind INTEGER NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (trash_id, child_id, kind)
) STRICT, WITHOUT ROWID;
CREATE INDEX trash_edges_child ON trash_edges (child_id);

-- The tags that pointed to them.
CREATE TABLE trash_tags (
    trash_id INTEGER NOT NULL REFERENCES trash (id),
    name TEXT NOT NULL,
    PRIMARY KEY (trash_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE trash_repositories (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    public INTEGER NOT NULL,
    description TEXT NOT NULL,
    deleted_at INTEGER NOT NULL,
    deleted_by TEXT NOT NULL,
    until INTEGER NOT NULL
) STRICT;
CREATE INDEX trash_repositories_name ON trash_repositories (name, id);
CREATE INDEX trash_repositories_until ON trash_repositories (until);
