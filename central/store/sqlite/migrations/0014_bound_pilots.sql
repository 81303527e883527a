-- The community that a pilot serves alone until its end, where payloads share its account; '': none yet, or all of its own.
-- It counts from the first job that the pilot was given: before, another may be put in its place.
ALTER TABLE pilots ADD COLUMN bound TEXT NOT NULL DEFAULT '';
