-- The chain of the audit. docs/audit.md says how it is made and walked.

-- One link covers the lines of `audit` with ids in (last of the link before, its own last]. Only added to.
CREATE TABLE audit_links (
    number   bigint PRIMARY KEY,    -- from 1 on
    first    bigint NOT NULL,       -- ids of its first and its last line
    last     bigint NOT NULL,
    time     double precision NOT NULL,
    previous text NOT NULL,         -- the hash of the link before
    hash     text NOT NULL,
    key_id   text NOT NULL,         -- of the key of the ring under which it is sealed
    seal     text NOT NULL,
    digests  bytea NOT NULL         -- of each line: its id in 8 bytes, the SHA-256 in 32
);
CREATE INDEX audit_links_by_time ON audit_links (time);

-- Up to where the central has let go of old lines, with their links. The newest counts.
CREATE TABLE audit_starts (
    id      bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    through bigint NOT NULL,        -- the last link that is gone, with its hash and its last line
    hash    text NOT NULL,
    last    bigint NOT NULL,
    time    double precision NOT NULL,
    key_id  text NOT NULL,
    seal    text NOT NULL
);

CREATE INDEX audit_by_time ON audit (time);
CREATE INDEX audit_by_who ON audit (who, id);
CREATE INDEX audit_by_what ON audit (what text_pattern_ops, id);
CREATE INDEX audit_by_community ON audit (community, id);

-- Whoever adds lines holds this lock to the end of the transaction, from before the first id is drawn: whoever holds it
-- alone knows that no id up to the highest that can be seen will be filled any more.
CREATE FUNCTION audit_is_being_added_to() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(5016247, 3);
    RETURN NULL;
END;
$$;
CREATE TRIGGER audit_is_being_added_to BEFORE INSERT ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_being_added_to();

CREATE FUNCTION audit_is_added_to_at_its_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id <= coalesce((SELECT last FROM audit_links ORDER BY number DESC LIMIT 1), 0) THEN
        RAISE EXCEPTION 'the audit is only added to';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER audit_is_added_to_at_its_end BEFORE INSERT ON audit
FOR EACH ROW EXECUTE FUNCTION audit_is_added_to_at_its_end();

-- A line leaves only after a start that is past it.
DROP TRIGGER audit_is_kept ON audit;
CREATE TRIGGER audit_is_kept BEFORE UPDATE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to();
CREATE FUNCTION audit_is_not_shortened() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.id > coalesce((SELECT last FROM audit_starts ORDER BY id DESC LIMIT 1), 0) THEN
        RAISE EXCEPTION 'the audit is only added to';
    END IF;
    RETURN OLD;
END;
$$;
CREATE TRIGGER audit_is_not_shortened BEFORE DELETE ON audit
FOR EACH ROW EXECUTE FUNCTION audit_is_not_shortened();

CREATE TRIGGER audit_links_are_kept BEFORE UPDATE OR TRUNCATE ON audit_links
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to();
CREATE FUNCTION audit_links_are_not_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.number > coalesce((SELECT through FROM audit_starts ORDER BY id DESC LIMIT 1), 0) THEN
        RAISE EXCEPTION 'the chain of the audit is only added to';
    END IF;
    RETURN OLD;
END;
$$;
CREATE TRIGGER audit_links_are_not_removed BEFORE DELETE ON audit_links
FOR EACH ROW EXECUTE FUNCTION audit_links_are_not_removed();
CREATE FUNCTION audit_links_are_added_at_the_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.number < coalesce((SELECT max(number) FROM audit_links), 0) THEN
        RAISE EXCEPTION 'the chain of the audit is only added to';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER audit_links_are_added_at_the_end BEFORE INSERT ON audit_links
FOR EACH ROW EXECUTE FUNCTION audit_links_are_added_at_the_end();

-- A start is behind a link that is there, before the newest; or the present one again, under another key.
CREATE FUNCTION audit_starts_are_behind_links() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM audit_links WHERE number = NEW.through AND hash = NEW.hash AND last = NEW.last
                                               AND number < (SELECT max(number) FROM audit_links))
       AND NOT EXISTS (SELECT 1 FROM audit_starts WHERE through = NEW.through AND hash = NEW.hash AND last = NEW.last)
    THEN
        RAISE EXCEPTION 'the audit starts behind one of its links';
    END IF;
    RETURN NEW;
END;
$$;
CREATE TRIGGER audit_starts_are_behind_links BEFORE INSERT ON audit_starts
FOR EACH ROW EXECUTE FUNCTION audit_starts_are_behind_links();
CREATE TRIGGER audit_starts_are_kept BEFORE UPDATE OR TRUNCATE ON audit_starts
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_added_to();
CREATE FUNCTION audit_starts_are_not_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.id >= (SELECT max(id) FROM audit_starts) THEN
        RAISE EXCEPTION 'the chain of the audit is only added to';
    END IF;
    RETURN OLD;
END;
$$;
CREATE TRIGGER audit_starts_are_not_removed BEFORE DELETE ON audit_starts
FOR EACH ROW EXECUTE FUNCTION audit_starts_are_not_removed();
