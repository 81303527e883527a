-- ID tokens of the identity provider that were exchanged, for as long as one could be shown again.
CREATE TABLE spent_id_tokens (
    digest  TEXT PRIMARY KEY,  -- SHA-256 of what its signature is over
    expires REAL NOT NULL
) STRICT;
CREATE INDEX spent_id_tokens_by_end ON spent_id_tokens (expires);
