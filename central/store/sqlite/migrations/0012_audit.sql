-- The chain of the audit. docs/audit.md says how it is made and walked.

-- One link covers the lines of `audit` with ids in (last of the link before, its own last]. Only added to.
CREATE TABLE audit_links (
    number   INTEGER PRIMARY KEY,   -- from 1 on
    first    INTEGER NOT NULL,      -- ids of its first and its last line
    last     INTEGER NOT NULL,
    time     REAL NOT NULL,
    previous TEXT NOT NULL,         -- the hash of the link before
    hash     TEXT NOT NULL,
    key_id   TEXT NOT NULL,         -- of the key of the ring under which it is sealed
    seal     TEXT NOT NULL,
    digests  BLOB NOT NULL          -- of each line: its id in 8 bytes, the SHA-256 in 32
) STRICT;
CREATE INDEX audit_links_by_time ON audit_links (time);

-- Up to where the central has let go of old lines, with their links. The newest counts.
CREATE TABLE audit_starts (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    through INTEGER NOT NULL,       -- the last link that is gone, with its hash and its last line
    hash    TEXT NOT NULL,
    last    INTEGER NOT NULL,
    time    REAL NOT NULL,
    key_id  TEXT NOT NULL,
    seal    TEXT NOT NULL
) STRICT;

CREATE INDEX audit_by_time ON audit (time);
CREATE INDEX audit_by_who ON audit (who, id);
CREATE INDEX audit_by_what ON audit (what, id);
CREATE INDEX audit_by_community ON audit (community, id);

-- A line leaves only after a start that is past it. REPLACE would pass by the triggers for what it deletes.
DROP TRIGGER audit_is_not_shortened;
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
WHEN OLD.id > coalesce((SELECT last FROM audit_starts ORDER BY id DESC LIMIT 1), 0)
BEGIN
    SELECT RAISE(ABORT, 'the audit is only added to');
END;
CREATE TRIGGER audit_is_added_to_at_its_end BEFORE INSERT ON audit
WHEN NEW.id <> -1
 AND (NEW.id <= coalesce((SELECT last FROM audit_links ORDER BY number DESC LIMIT 1), 0)
      OR EXISTS (SELECT 1 FROM audit WHERE id = NEW.id))
BEGIN
    SELECT RAISE(ABORT, 'the audit is only added to');
END;
CREATE TRIGGER audit_links_are_not_changed BEFORE UPDATE ON audit_links
BEGIN
    SELECT RAISE(ABORT, 'the chain of the audit is only added to');
END;
CREATE TRIGGER audit_links_are_not_removed BEFORE DELETE ON audit_links
WHEN OLD.number > coalesce((SELECT through FROM audit_starts ORDER BY id DESC LIMIT 1), 0)
BEGIN
    SELECT RAISE(ABORT, 'the chain of the audit is only added to');
END;
CREATE TRIGGER audit_links_are_added_at_the_end BEFORE INSERT ON audit_links
WHEN NEW.number <= coalesce((SELECT max(number) FROM audit_links), 0)
BEGIN
    SELECT RAISE(ABORT, 'the chain of the audit is only added to');
END;
-- A start is behind a link that is there, before the newest; or the present one again, under another key.
CREATE TRIGGER audit_starts_are_behind_links BEFORE INSERT ON audit_starts
WHEN NOT EXISTS (SELECT 1 FROM audit_links WHERE number = NEW.through AND hash = NEW.hash AND last = NEW.last
                                             AND number < (SELECT max(number) FROM audit_links))
 AND NOT EXISTS (SELECT 1 FROM audit_starts WHERE through = NEW.through AND hash = NEW.hash AND last = NEW.last)
BEGIN
    SELECT RAISE(ABORT, 'the audit starts behind one of its links');
END;
CREATE TRIGGER audit_starts_are_not_changed BEFORE UPDATE ON audit_starts
BEGIN
    SELECT RAISE(ABORT, 'the chain of the audit is only added to');
END;
CREATE TRIGGER audit_starts_are_not_removed BEFORE DELETE ON audit_starts
WHEN OLD.id >= (SELECT max(id) FROM audit_starts)
BEGIN
    SELECT RAISE(ABORT, 'the chain of the audit is only added to');
END;
