-- Bundles of communities' commands, which of them are in use, and when the steps of a pilot began.
CREATE TABLE bundles (
    community TEXT NOT NULL,
    name      TEXT NOT NULL,
    sha256    TEXT NOT NULL,
    size      INTEGER NOT NULL,  -- bytes
    manifest  TEXT NOT NULL,     -- JSON, as it stands in the archive
    who       TEXT NOT NULL,
    created   REAL NOT NULL,
    PRIMARY KEY (community, name, sha256)
) STRICT, WITHOUT ROWID;
CREATE INDEX bundles_by_digest ON bundles (sha256);

-- What was put into use, never changed: the newest row of a name counts.
CREATE TABLE pins (
    id        INTEGER PRIMARY KEY,
    community TEXT NOT NULL,
    name      TEXT NOT NULL,
    sha256    TEXT NOT NULL,
    who       TEXT NOT NULL,
    created   REAL NOT NULL
) STRICT;
CREATE INDEX pins_by_name ON pins (community, name, id);

ALTER TABLE steps ADD COLUMN began REAL;  -- seconds after the pilot did; NULL: it did not say
