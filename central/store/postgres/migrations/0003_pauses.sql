-- Queues that get no pilots because an operator said so; what is over is kept, as who did what when.
CREATE TABLE pauses (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue    text NOT NULL,
    who      text NOT NULL,
    reason   text NOT NULL,
    since    double precision NOT NULL,
    ended    double precision,  -- NULL: it lasts
    ended_by text
);
CREATE UNIQUE INDEX pauses_open ON pauses (queue) WHERE ended IS NULL;
