-- Mail addresses whose owners asked for an account and have not opened the link yet. hash: of the link's secret.
CREATE TABLE sign_ups (
    hash BYTEA PRIMARY KEY,
    email TEXT COLLATE "C" NOT NULL UNIQUE,
    name TEXT COLLATE "C" NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX sign_ups_expires ON sign_ups (expires_at);
