-- Credentials of people, and what was done with them. Times as in the first schema.

-- One secret of one owner. What is in `sealed` only a central can open that has the key; every other column is
-- authenticated together with it, so that a row which was changed by hand opens no more.
CREATE TABLE credentials (
    community text NOT NULL,
    owner     text NOT NULL,
    name      text NOT NULL,
    kind      text NOT NULL,
    urls      text NOT NULL,      -- JSON of texts
    expires   double precision,   -- NULL: it does not
    key_id    text NOT NULL,
    sealed    bytea NOT NULL,
    changed   double precision NOT NULL,
    PRIMARY KEY (community, owner, name)
);
CREATE INDEX credentials_by_key ON credentials (key_id);

-- What people and pilots did, or were refused. Only added to.
CREATE TABLE audit (
    id        bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    time      double precision NOT NULL,
    who       text NOT NULL,      -- a user, or `pilot STAMP`
    what      text NOT NULL,
    community text NOT NULL,
    owner     text NOT NULL,      -- of the subject
    subject   text NOT NULL,      -- the name of a credential
    job       bigint,             -- these two: where it was for one. The job may have been let go of
    attempt   integer,
    detail    text NOT NULL
);
CREATE INDEX audit_by_subject ON audit (community, owner, subject, id);
CREATE FUNCTION audit_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is only added to';
END;
$$;
CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to();
