-- The last pilot that was sent to try a queue: while it lives no other is. A queue that moves to another site is tried anew.
CREATE TABLE queue_tests (
    queue TEXT NOT NULL,
    site  TEXT NOT NULL,
    stamp TEXT NOT NULL,
    PRIMARY KEY (queue, site)
) STRICT, WITHOUT ROWID;
