-- Who may work here besides those whom the settings declare. What was taken back stays as a row, with who did that.
CREATE TABLE members (
    id         INTEGER PRIMARY KEY,
    owner      TEXT NOT NULL,  -- the user, as in jobs
    community  TEXT NOT NULL,
    "group"    TEXT NOT NULL,
    role       TEXT NOT NULL,
    who        TEXT NOT NULL,
    created    REAL NOT NULL,
    revoked    REAL,  -- NULL: it is good
    revoked_by TEXT NOT NULL DEFAULT '',
    reason     TEXT NOT NULL DEFAULT '',
    UNIQUE (community, "group", owner)
) STRICT;

CREATE TABLE api_tokens (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    sha256     TEXT NOT NULL UNIQUE,  -- of the token, which is kept nowhere
    name       TEXT NOT NULL,
    owner      TEXT NOT NULL,
    community  TEXT NOT NULL,
    "group"    TEXT NOT NULL,
    role       TEXT NOT NULL,  -- the most that it may do
    scopes     TEXT NOT NULL,  -- JSON
    who        TEXT NOT NULL,
    parent     INTEGER REFERENCES api_tokens,  -- the one that it was made with
    created    REAL NOT NULL,
    expires    REAL NOT NULL,
    used       REAL,  -- roughly; NULL: never
    revoked    REAL,  -- NULL: it is good
    revoked_by TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX api_tokens_of_owner ON api_tokens (community, owner);
CREATE INDEX api_tokens_by_parent ON api_tokens (parent) WHERE parent IS NOT NULL;

-- Who has sent a file, or whose job has brought it home; empty: from before this was known.
ALTER TABLE sandboxes ADD COLUMN owner TEXT NOT NULL DEFAULT '';
CREATE INDEX sandboxes_of_owner ON sandboxes (community, owner, size);
