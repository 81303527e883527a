-- Who may work here besides those whom the settings declare. What was taken back stays as a row, with who did that.
CREATE TABLE members (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    owner      text NOT NULL,  -- the user, as in jobs
    community  text NOT NULL,
    "group"    text NOT NULL,
    role       text NOT NULL,
    who        text NOT NULL,
    created    double precision NOT NULL,
    revoked    double precision,  -- NULL: it is good
    revoked_by text NOT NULL DEFAULT '',
    reason     text NOT NULL DEFAULT '',
    UNIQUE (community, "group", owner)
);

CREATE TABLE api_tokens (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256     text NOT NULL UNIQUE,  -- of the token, which is kept nowhere
    name       text NOT NULL,
    owner      text NOT NULL,
    community  text NOT NULL,
    "group"    text NOT NULL,
    role       text NOT NULL,  -- the most that it may do
    scopes     text NOT NULL,  -- JSON
    who        text NOT NULL,
    parent     bigint REFERENCES api_tokens,  -- the one that it was made with
    created    double precision NOT NULL,
    expires    double precision NOT NULL,
    used       double precision,  -- roughly; NULL: never
    revoked    double precision,  -- NULL: it is good
    revoked_by text NOT NULL DEFAULT ''
);
CREATE INDEX api_tokens_of_owner ON api_tokens (community, owner);
CREATE INDEX api_tokens_by_parent ON api_tokens (parent) WHERE parent IS NOT NULL;

-- Who has sent a file, or whose job has brought it home; empty: from before this was known.
ALTER TABLE sandboxes ADD COLUMN owner text NOT NULL DEFAULT '';
CREATE INDEX sandboxes_of_owner ON sandboxes (community, owner, size);
