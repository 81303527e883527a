-- The last pilot that was sent to try a queue: while it lives no other is. A queue that moves to another site is tried anew.
CREATE TABLE queue_tests (
    queue text NOT NULL,
    site  text NOT NULL,
    stamp text NOT NULL,
    PRIMARY KEY (queue, site)
);
