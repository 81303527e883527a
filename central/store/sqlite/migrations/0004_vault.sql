-- Credentials of people, and what was done with them. Times as in the first schema.

-- One secret of one owner. What is in `sealed` only a central can open that has the key; every other column is
-- authenticated together with it, so that a row which was changed by hand opens no more.
CREATE TABLE credentials (
    community TEXT NOT NULL,
    owner     TEXT NOT NULL,
    name      TEXT NOT NULL,
    kind      TEXT NOT NULL,
    urls      TEXT NOT NULL,     -- JSON of texts
    expires   REAL,              -- NULL: it does not
    key_id    TEXT NOT NULL,
    sealed    BLOB NOT NULL,
    changed   REAL NOT NULL,
    PRIMARY KEY (community, owner, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX credentials_by_key ON credentials (key_id);

-- What people and pilots did, or were refused. Only added to.
CREATE TABLE audit (
    id        INTEGER NOT NULL PRIMARY KEY,
    time      REAL NOT NULL,
    who       TEXT NOT NULL,     -- a user, or `pilot STAMP`
    what      TEXT NOT NULL,
    community TEXT NOT NULL,
    owner     TEXT NOT NULL,     -- of the subject
    subject   TEXT NOT NULL,     -- the name of a credential
    job       INTEGER,           -- these two: where it was for one. The job may have been let go of
    attempt   INTEGER,
    detail    TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_subject ON audit (community, owner, subject, id);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit is only added to');
END;
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit is only added to');
END;
