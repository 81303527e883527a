-- Site admins: they have a site, and neither community nor group. Who is one of several sites has a row for each.
CREATE TABLE members_and_admins (
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
    site       TEXT NOT NULL DEFAULT '',  -- empty: a member of a group
    UNIQUE (community, "group", owner, site)
) STRICT;
INSERT INTO members_and_admins (id, owner, community, "group", role, who, created, revoked, revoked_by, reason)
    SELECT id, owner, community, "group", role, who, created, revoked, revoked_by, reason FROM members;
DROP TABLE members;
ALTER TABLE members_and_admins RENAME TO members;

ALTER TABLE api_tokens ADD COLUMN site TEXT NOT NULL DEFAULT '';

-- The pilots of one site are listed for its admins.
CREATE INDEX pilots_by_site ON pilots (site, state, id);
