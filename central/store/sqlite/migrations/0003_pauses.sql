-- Queues that get no pilots because an operator said so; what is over is kept, as who did what when.
CREATE TABLE pauses (
    id       INTEGER PRIMARY KEY,
    queue    TEXT NOT NULL,
    who      TEXT NOT NULL,
    reason   TEXT NOT NULL,
    since    REAL NOT NULL,
    ended    REAL,           -- NULL: it lasts
    ended_by TEXT
) STRICT;
CREATE UNIQUE INDEX pauses_open ON pauses (queue) WHERE ended IS NULL;
