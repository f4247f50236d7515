-- What a search finds beside names: tags in every repository, and what images say about themselves.
CREATE INDEX tags_name ON tags (name, repository_id);

-- Labels and annotations by value, each in lower case and cut: an index, of which the whole stands with the manifest.
CREATE TABLE words (
    manifest_id INTEGER NOT NULL REFERENCES manifests (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (manifest_id, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX words_value ON words (value, manifest_id, name);

INSERT OR IGNORE INTO words (manifest_id, name, value)
SELECT m.id, j.key, lower(substr(j.value, 1, 128)) FROM manifests m, json_each(m.labels) j
WHERE j.type = 'text' AND j.value <> '' AND length(j.key) <= 256;
INSERT OR IGNORE INTO words (manifest_id, name, value)
SELECT m.id, j.key, lower(substr(j.value, 1, 128)) FROM manifests m, json_each(m.annotations) j
WHERE j.type = 'text' AND j.value <> '' AND length(j.key) <= 256;
