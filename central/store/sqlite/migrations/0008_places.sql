-- Sites and queues that operators have added while the central runs, as they wrote them. Each change is a row, and none is
-- taken away: the newest of a name counts. Beside them the tokens by which pilots that nobody submitted enrol.
CREATE TABLE places (
    id      INTEGER PRIMARY KEY,
    kind    TEXT NOT NULL,  -- site, queue
    name    TEXT NOT NULL,
    version INTEGER NOT NULL,  -- from 1 on, of each name
    text    TEXT NOT NULL,  -- TOML; empty: it was removed
    who     TEXT NOT NULL,
    created REAL NOT NULL,
    note    TEXT NOT NULL,
    UNIQUE (kind, name, version)
) STRICT;

CREATE TABLE enrolment_tokens (
    id          INTEGER PRIMARY KEY,
    hash        TEXT NOT NULL UNIQUE,  -- SHA-256 of the token, which is kept nowhere
    site        TEXT NOT NULL,
    queue       TEXT NOT NULL,
    communities TEXT NOT NULL,  -- JSON
    pilots      INTEGER NOT NULL,  -- the most that it lets in
    used        INTEGER NOT NULL DEFAULT 0,
    who         TEXT NOT NULL,
    created     REAL NOT NULL,
    expires     REAL NOT NULL,
    revoked     REAL,  -- NULL: it is good
    revoked_by  TEXT NOT NULL DEFAULT '',
    refused     INTEGER NOT NULL DEFAULT 0,  -- pilots that came when it was not good any more
    alarm       TEXT NOT NULL DEFAULT ''  -- the last of them
) STRICT;
