-- Sites and queues that operators have added while the central runs, as they wrote them. Each change is a row, and none is
-- taken away: the newest of a name counts. Beside them the tokens by which pilots that nobody submitted enrol.
CREATE TABLE places (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind    text NOT NULL,  -- site, queue
    name    text NOT NULL,
    version bigint NOT NULL,  -- from 1 on, of each name
    text    text NOT NULL,  -- TOML; empty: it was removed
    who     text NOT NULL,
    created double precision NOT NULL,
    note    text NOT NULL,
    UNIQUE (kind, name, version)
);

CREATE TABLE enrolment_tokens (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash        text NOT NULL UNIQUE,  -- SHA-256 of the token, which is kept nowhere
    site        text NOT NULL,
    queue       text NOT NULL,
    communities text NOT NULL,  -- JSON
    pilots      bigint NOT NULL,  -- the most that it lets in
    used        bigint NOT NULL DEFAULT 0,
    who         text NOT NULL,
    created     double precision NOT NULL,
    expires     double precision NOT NULL,
    revoked     double precision,  -- NULL: it is good
    revoked_by  text NOT NULL DEFAULT '',
    refused     bigint NOT NULL DEFAULT 0,  -- pilots that came when it was not good any more
    alarm       text NOT NULL DEFAULT ''  -- the last of them
);
