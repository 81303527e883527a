-- Pauses that end by themselves, and those of all queues of a site, which are called bans: their `queue` is empty.
ALTER TABLE pauses ADD COLUMN until double precision;  -- NULL: until somebody ends it
ALTER TABLE pauses ADD COLUMN site text NOT NULL DEFAULT '';  -- empty: of one queue
DROP INDEX pauses_open;
CREATE UNIQUE INDEX pauses_open ON pauses (queue, site) WHERE ended IS NULL;
