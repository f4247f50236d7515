-- Manifests whose parts were not all there when they were pushed are counted for pages and metrics; there are few.
CREATE INDEX manifests_incomplete ON manifests (repository_id) WHERE incomplete = 1;
