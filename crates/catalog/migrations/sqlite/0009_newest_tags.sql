-- Pages show the tags that moved last.
CREATE INDEX tags_updated ON tags (repository_id, updated_at, name);
