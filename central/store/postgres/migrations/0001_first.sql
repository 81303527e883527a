-- The first schema. Times are seconds since the epoch by this server's clock; what is called JSON holds a record of
-- pilot/protocol.py as text. States, phases and outcomes are the words of pilot/states.py.
--
-- Write cost decides the shape. A row version goes into every index of its table whenever a column of any index, or of
-- an index's condition, has changed: so what changes often (phase, last_seen) is in none, and jobs have the indexes
-- that a page or a claim cannot do without. There are no foreign keys on the tables that claims and reports write:
-- each would look up and lock a row for every row written, and no verb deletes what others point at.

-- What was submitted: a job with placeholders, shared by all jobs of a sweep.
CREATE TABLE documents (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    community text NOT NULL,
    jobs      bigint NOT NULL,  -- how many there are of it: with the last it goes
    spec      text NOT NULL  -- JSON of JobSpec
);

-- Jobs of one owner and group with equal needs wait together. Never changed.
CREATE TABLE task_queues (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    community text NOT NULL,
    "group"   text NOT NULL,
    owner     text NOT NULL,
    digest    text NOT NULL,  -- SHA-256 of the needs, which may be longer than an index takes
    needs     text NOT NULL,  -- JSON of Needs without its defaults
    UNIQUE (community, "group", owner, digest)
);

CREATE TABLE jobs (
    id             bigint PRIMARY KEY,  -- of job_ids
    document       bigint NOT NULL,
    queue          bigint NOT NULL,
    attempt        integer NOT NULL DEFAULT 0,  -- the current one
    priority       smallint NOT NULL,
    retries        integer NOT NULL,            -- granted by the user
    retries_used   integer NOT NULL DEFAULT 0,
    blameless_ends integer NOT NULL DEFAULT 0,
    submitted      double precision NOT NULL,
    changed        double precision NOT NULL,
    parent         bigint,                      -- the job that this one is a reschedule of
    exit_code      integer,
    state          text NOT NULL
                   CHECK (state IN ('waiting', 'held', 'matched', 'running', 'completing', 'done', 'failed', 'killed')),
    -- The state as the indexes know it: a job that goes on within its attempt is not moved in any of them.
    stage          text NOT NULL GENERATED ALWAYS AS
                   (CASE WHEN state IN ('matched', 'running', 'completing') THEN 'out' ELSE state END) STORED,
    -- When it became final.
    over           double precision GENERATED ALWAYS AS
                   (CASE WHEN state IN ('done', 'failed', 'killed') THEN changed END) STORED,
    community      text NOT NULL,
    "group"        text NOT NULL,
    owner          text NOT NULL,
    outcome        text,                        -- of the last attempt that ended
    name           text NOT NULL,               -- filled in
    reason         text NOT NULL DEFAULT '',
    parameters     text,                        -- JSON of this member of the sweep
    inputs         text                         -- JSON; NULL: those of the document
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- For the claim: the next job of a queue is the first row.
CREATE INDEX jobs_waiting ON jobs (queue, priority DESC, id) WHERE stage = 'waiting';
-- For pages, newest first, and for counts. The minus keeps the planner from taking the primary key instead, which has
-- what is wanted in the right order among all else.
CREATE INDEX jobs_by_stage ON jobs (community, stage, (-id));
CREATE INDEX jobs_by_owner ON jobs (community, owner, stage, (-id));
-- For retention.
CREATE INDEX jobs_over ON jobs (over) WHERE over IS NOT NULL;

-- Ids are never used again.
CREATE SEQUENCE job_ids;

-- Draw so many ids in a row and return the first: nobody else draws in between.
CREATE FUNCTION take_job_ids(wanted bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    first bigint;
BEGIN
    PERFORM pg_advisory_lock(5016247, 2);
    first := nextval('job_ids');
    IF wanted > 1 THEN
        PERFORM setval('job_ids', first + wanted - 1);
    END IF;
    PERFORM pg_advisory_unlock(5016247, 2);
    RETURN first;
END
$$;

-- Answers to an Idempotency-Key.
CREATE TABLE submissions (
    community text NOT NULL,
    owner     text NOT NULL,
    key       text NOT NULL,
    digest    text NOT NULL,
    ranges    text NOT NULL,  -- JSON: [[first id, count], …]
    created   double precision NOT NULL,
    PRIMARY KEY (community, owner, key)
);
CREATE INDEX submissions_by_time ON submissions (created);

-- Every beat rewrites a row: what is wide is in nodes, and room is left on each page for the next version.
CREATE TABLE pilots (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stamp          text NOT NULL UNIQUE,
    state          text NOT NULL
                   CHECK (state IN ('planned', 'submitting', 'submitted', 'running', 'silent', 'draining',
                                    'done', 'failed', 'lost', 'cancelled')),
    draining       boolean NOT NULL DEFAULT false,  -- it takes no new jobs, also when it was silent in between
    site           text NOT NULL,
    queue          text NOT NULL,
    host           text NOT NULL DEFAULT '',        -- the machine, as its fact `host` says
    communities    text NOT NULL,                   -- JSON
    created        double precision NOT NULL,
    secret_hash    text NOT NULL,
    secret_expires double precision NOT NULL,
    old_secrets    text NOT NULL DEFAULT '[]',      -- JSON: hashes that were replaced
    lease          integer NOT NULL,                -- seconds
    life           double precision,                -- seconds from enrolment; NULL: no end
    ends           double precision,
    key_hash       text,
    instance       text NOT NULL DEFAULT '',
    epoch          integer NOT NULL DEFAULT 0,
    sequence       bigint NOT NULL DEFAULT 0,
    enrolled       double precision,
    last_seen      double precision,
    ended          double precision,
    reason         text,
    message        text NOT NULL DEFAULT '',
    exit_code      integer,
    reference      text NOT NULL DEFAULT '',
    alarm          text NOT NULL DEFAULT '',
    leases         bigint NOT NULL DEFAULT 0,       -- ever given
    ledger         text NOT NULL DEFAULT '{}'       -- JSON: cause → core-seconds, as the pilot said at its end
) WITH (fillfactor = 50);
CREATE INDEX pilots_by_state ON pilots (state, (-id));
CREATE INDEX pilots_by_queue ON pilots (queue, state, (-id));
CREATE INDEX pilots_on_host ON pilots (site, host) WHERE ended IS NULL AND host <> '';

-- What a pilot said last of its node.
CREATE TABLE nodes (
    pilot bigint PRIMARY KEY,
    offer text,                        -- JSON
    facts text NOT NULL DEFAULT '[]'   -- JSON
) WITH (fillfactor = 50);

-- Steps of the pilot's pipeline.
CREATE TABLE steps (
    pilot   bigint NOT NULL,
    number  integer NOT NULL,
    command text NOT NULL,
    outcome text,
    seconds double precision NOT NULL,
    message text NOT NULL,
    tail    text NOT NULL,
    PRIMARY KEY (pilot, number)
);

-- The history of an attempt is in its row: leased at `started`, `running` and `completing` with what was said then,
-- over at `ended` with the message of `report`.
CREATE TABLE attempts (
    job                bigint NOT NULL,
    attempt            integer NOT NULL,
    pilot              bigint NOT NULL,
    epoch              integer NOT NULL,  -- of the pilot: request numbers begin anew with each
    agent              bigint NOT NULL,
    request            bigint NOT NULL,
    cores              integer NOT NULL,
    started            double precision NOT NULL,  -- when it was leased
    running            double precision,           -- when it came to that phase; NULL: that was never said
    completing         double precision,
    ended              double precision,
    phase              text NOT NULL CHECK (phase IN ('matched', 'running', 'completing', 'ended')),
    community          text NOT NULL,
    site               text NOT NULL,
    -- Who ended it: its pilot by a report, the central for it, or nobody because it was given back unstarted.
    closed             text CHECK (closed IN ('reported', 'given-up', 'returned')),
    outcome            text,
    limits             text,                       -- JSON: the names of those it counts against; NULL: none
    usage              text NOT NULL DEFAULT '{}',  -- JSON, the newest
    running_message    text NOT NULL DEFAULT '',
    completing_message text NOT NULL DEFAULT '',
    report             text,                       -- JSON of AttemptReport: its end
    PRIMARY KEY (job, attempt),
    CHECK ((phase = 'ended') = (closed IS NOT NULL)),
    CHECK ((phase = 'ended') = (ended IS NOT NULL))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
-- What a pilot holds. Not `phase <> 'ended'`: the phase changes on the way.
CREATE INDEX attempts_out ON attempts (pilot) WHERE ended IS NULL;
-- What a match request was answered with.
CREATE INDEX attempts_by_request ON attempts (pilot, epoch, agent, request);

CREATE TABLE orders (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pilot    bigint NOT NULL,
    epoch    integer NOT NULL,
    verb     text NOT NULL,
    job      bigint,
    attempt  integer,
    argument text NOT NULL,
    reason   text NOT NULL,
    who      text NOT NULL,
    created  double precision NOT NULL,
    received double precision,
    done     double precision,
    result   text NOT NULL DEFAULT ''
);
CREATE INDEX orders_open ON orders (pilot) WHERE received IS NULL;
CREATE INDEX orders_of_job ON orders (job) WHERE job IS NOT NULL;

CREATE TABLE sandboxes (
    community text NOT NULL,
    sha256    text NOT NULL,
    size      bigint NOT NULL,
    created   double precision NOT NULL,
    PRIMARY KEY (community, sha256)
);

-- Who leads a background duty, until when.
CREATE TABLE leaders (
    duty   text PRIMARY KEY,
    holder text NOT NULL,
    epoch  bigint NOT NULL,
    until  double precision NOT NULL
);

-- What every attempt used, written when it ends, and kept when its job is deleted. Times in seconds.
CREATE TABLE accounting (
    job         bigint NOT NULL,
    attempt     integer NOT NULL,
    pilot       bigint NOT NULL,
    cores       integer NOT NULL,
    started     double precision NOT NULL,
    ended       double precision NOT NULL,
    wall        double precision NOT NULL,
    cpu         double precision,  -- NULL: it was not measured
    memory_peak bigint,            -- bytes
    community   text NOT NULL,
    "group"     text NOT NULL,
    owner       text NOT NULL,
    site        text NOT NULL,
    queue       text NOT NULL,     -- the pilot's
    outcome     text NOT NULL,
    PRIMARY KEY (job, attempt)
);
CREATE INDEX accounting_by_end ON accounting (ended);

-- The same summed by the hour in which attempts ended, of hours that are over: one row for each owner and site.
CREATE TABLE usage_hours (
    hour              bigint NOT NULL,  -- its start
    community         text NOT NULL,
    "group"           text NOT NULL,
    owner             text NOT NULL,
    site              text NOT NULL,
    attempts          bigint NOT NULL,
    succeeded         bigint NOT NULL,
    core_seconds      double precision NOT NULL,
    cpu_seconds       double precision NOT NULL,
    memory_peak       bigint NOT NULL,
    lost_core_seconds double precision NOT NULL,
    PRIMARY KEY (hour, community, "group", owner, site)
);
-- One row: of all hours before `until` usage_hours has the sums, of none after.
CREATE TABLE usage_summed (
    only_row integer PRIMARY KEY CHECK (only_row = 1),
    until    bigint NOT NULL
);
INSERT INTO usage_summed VALUES (1, 0);

-- How full each limit on what runs is: the counters change with every claim and end that falls under it.
CREATE TABLE limits (
    name       text PRIMARY KEY,
    definition text NOT NULL,  -- JSON of Limit
    attempts   bigint NOT NULL DEFAULT 0,
    cores      bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- A machine on which something failed fast since something last succeeded there: see central/store/suspicion.py.
CREATE TABLE hosts (
    site      text NOT NULL,
    host      text NOT NULL,
    failures  integer NOT NULL,
    faults    integer NOT NULL,
    owner     text NOT NULL,
    several   boolean NOT NULL,
    since     double precision NOT NULL,
    suspected double precision,
    pause     double precision NOT NULL,
    next      double precision NOT NULL,
    PRIMARY KEY (site, host)
);

-- An attempt with its pilot's stamp and its job's standing.
CREATE VIEW attempts_whole AS
SELECT attempts.*,
       pilots.stamp,
       jobs.state AS job_state,
       jobs.attempt AS current,
       jobs.queue,
       jobs.priority,
       jobs.retries,
       jobs.retries_used,
       jobs.blameless_ends
FROM attempts
JOIN pilots ON pilots.id = attempts.pilot
JOIN jobs ON jobs.id = attempts.job;

-- A pilot with its node, and with its machine if that has failed jobs: `trials` are the attempts out there that were
-- leased since it is suspect.
CREATE VIEW pilots_whole AS
SELECT pilots.*, nodes.offer, coalesce(nodes.facts, '[]') AS facts,
       hosts.failures, hosts.faults, hosts.owner, hosts.several, hosts.since, hosts.suspected, hosts.pause, hosts.next,
       CASE WHEN hosts.suspected IS NULL THEN 0
            ELSE (SELECT count(*)
                  FROM pilots AS others
                  JOIN attempts ON attempts.pilot = others.id AND attempts.ended IS NULL
                  WHERE others.site = hosts.site AND others.host = hosts.host AND others.host <> ''
                    AND others.ended IS NULL AND attempts.started > hosts.suspected)
       END AS trials
FROM pilots
LEFT JOIN nodes ON nodes.pilot = pilots.id
LEFT JOIN hosts ON hosts.site = pilots.site AND hosts.host = pilots.host;

-- A job with its document, and with where its current attempt is or was.
CREATE VIEW jobs_whole AS
SELECT jobs.*,
       documents.spec,
       coalesce(pilots.stamp, '') AS stamp,
       coalesce(attempts.site, '') AS site
FROM jobs
JOIN documents ON documents.id = jobs.document
LEFT JOIN attempts ON attempts.job = jobs.id AND attempts.attempt = jobs.attempt
LEFT JOIN pilots ON pilots.id = attempts.pilot;

-- An order that is still to be delivered. One to a pilot dies with the epoch it was written for (a pilot that has not
-- enrolled will have the first), one to an attempt with the attempt.
CREATE VIEW orders_to_deliver AS
SELECT orders.*, pilots.stamp, pilots.state AS pilot_state
FROM orders
JOIN pilots ON pilots.id = orders.pilot
LEFT JOIN attempts ON attempts.job = orders.job AND attempts.attempt = orders.attempt
WHERE orders.received IS NULL
  AND CASE WHEN orders.job IS NULL
           THEN orders.epoch = greatest(pilots.epoch, 1)
           ELSE attempts.ended IS NULL AND attempts.job IS NOT NULL
      END;
