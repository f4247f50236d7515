-- What a search finds beside names: tags in every repository, and what images say about themselves.
CREATE INDEX tags_name ON tags (name, repository_id);

-- Labels and annotations by value, each in lower case and cut: an index, of which the whole stands with the manifest.
CREATE TABLE words (
    manifest_id BIGINT NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (manifest_id, name)
);
CREATE INDEX words_value ON words (value, manifest_id, name);
