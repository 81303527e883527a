-- Bundles of communities' commands, which of them are in use, and when the steps of a pilot began.
CREATE TABLE bundles (
    community text NOT NULL,
    name      text NOT NULL,
    sha256    text NOT NULL,
    size      bigint NOT NULL,  -- bytes
    manifest  text NOT NULL,    -- JSON, as it stands in the archive
    who       text NOT NULL,
    created   double precision NOT NULL,
    PRIMARY KEY (community, name, sha256)
);
CREATE INDEX bundles_by_digest ON bundles (sha256);

-- What was put into use, never changed: the newest row of a name counts.
CREATE TABLE pins (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    community text NOT NULL,
    name      text NOT NULL,
    sha256    text NOT NULL,
    who       text NOT NULL,
    created   double precision NOT NULL
);
CREATE INDEX pins_by_name ON pins (community, name, id);

ALTER TABLE steps ADD COLUMN began double precision;  -- seconds after the pilot did; NULL: it did not say
