-- The first schema. Times are seconds since the epoch by the central's clock; what is called JSON holds a record of
-- pilot/protocol.py. States, phases and outcomes are the words of pilot/states.py.

-- What was submitted: a job with placeholders, shared by all jobs of a sweep.
CREATE TABLE documents (
    id        INTEGER PRIMARY KEY,
    community TEXT NOT NULL,
    spec      TEXT NOT NULL  -- JSON of JobSpec
) STRICT;

-- Jobs of one owner and group with equal needs wait together.
CREATE TABLE task_queues (
    id        INTEGER PRIMARY KEY,
    community TEXT NOT NULL,
    "group"   TEXT NOT NULL,
    owner     TEXT NOT NULL,
    needs     TEXT NOT NULL,  -- JSON of Needs without its defaults
    UNIQUE (community, "group", owner, needs)
) STRICT;

-- Ids are never used again, also when old jobs are deleted one day: hence AUTOINCREMENT.
CREATE TABLE jobs (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    document       INTEGER NOT NULL REFERENCES documents,
    queue          INTEGER NOT NULL REFERENCES task_queues,
    community      TEXT NOT NULL,
    "group"        TEXT NOT NULL,
    owner          TEXT NOT NULL,
    name           TEXT NOT NULL,               -- filled in
    parameters     TEXT,                        -- JSON of this member of the sweep
    inputs         TEXT,                        -- JSON; NULL: those of the document
    state          TEXT NOT NULL,
    priority       INTEGER NOT NULL,
    attempt        INTEGER NOT NULL DEFAULT 0,  -- the current one
    retries        INTEGER NOT NULL,            -- granted by the user
    retries_used   INTEGER NOT NULL DEFAULT 0,
    blameless_ends INTEGER NOT NULL DEFAULT 0,
    submitted      REAL NOT NULL,
    changed        REAL NOT NULL,
    outcome        TEXT,                        -- of the last attempt that ended
    exit_code      INTEGER,
    reason         TEXT NOT NULL DEFAULT '',
    parent         INTEGER REFERENCES jobs      -- the job that this one is a reschedule of
) STRICT;

-- For the claim: the next job of a queue is the first row.
CREATE INDEX jobs_waiting ON jobs (queue, priority DESC, id) WHERE state = 'waiting';
-- For pages, newest first, and for counts.
CREATE INDEX jobs_by_state ON jobs (community, state, id);
CREATE INDEX jobs_by_owner ON jobs (community, owner, id);

-- Answers to an Idempotency-Key.
CREATE TABLE submissions (
    community TEXT NOT NULL,
    owner     TEXT NOT NULL,
    key       TEXT NOT NULL,
    digest    TEXT NOT NULL,
    ranges    TEXT NOT NULL,  -- JSON: [[first id, count], …]
    created   REAL NOT NULL,
    PRIMARY KEY (community, owner, key)
) STRICT, WITHOUT ROWID;

-- Narrow, because every beat rewrites a row; what is wide is in nodes.
CREATE TABLE pilots (
    id             INTEGER PRIMARY KEY,
    stamp          TEXT NOT NULL UNIQUE,
    state          TEXT NOT NULL,
    draining       INTEGER NOT NULL DEFAULT 0,  -- 1: it takes no new jobs, also when it was silent in between
    site           TEXT NOT NULL,
    queue          TEXT NOT NULL,
    communities    TEXT NOT NULL,               -- JSON
    created        REAL NOT NULL,
    secret_hash    TEXT NOT NULL,
    secret_expires REAL NOT NULL,
    old_secrets    TEXT NOT NULL DEFAULT '[]',  -- JSON: hashes that were replaced
    lease          INTEGER NOT NULL,            -- seconds
    life           REAL,                        -- seconds from enrolment; NULL: no end
    ends           REAL,
    key_hash       TEXT,
    instance       TEXT NOT NULL DEFAULT '',
    epoch          INTEGER NOT NULL DEFAULT 0,
    sequence       INTEGER NOT NULL DEFAULT 0,
    enrolled       REAL,
    last_seen      REAL,
    ended          REAL,
    reason         TEXT,
    message        TEXT NOT NULL DEFAULT '',
    exit_code      INTEGER,
    reference      TEXT NOT NULL DEFAULT '',
    alarm          TEXT NOT NULL DEFAULT '',
    leases         INTEGER NOT NULL DEFAULT 0,  -- ever given
    ledger         TEXT NOT NULL DEFAULT '{}'   -- JSON: cause → core-seconds, as the pilot said at its end
) STRICT;
CREATE INDEX pilots_by_state ON pilots (state, id);
CREATE INDEX pilots_by_queue ON pilots (queue, state, id);

-- What a pilot said last of its node.
CREATE TABLE nodes (
    pilot INTEGER PRIMARY KEY REFERENCES pilots,
    offer TEXT,                        -- JSON
    facts TEXT NOT NULL DEFAULT '[]'   -- JSON
) STRICT;

-- Steps of the pilot's pipeline.
CREATE TABLE steps (
    pilot   INTEGER NOT NULL REFERENCES pilots,
    number  INTEGER NOT NULL,
    command TEXT NOT NULL,
    outcome TEXT,
    seconds REAL NOT NULL,
    message TEXT NOT NULL,
    tail    TEXT NOT NULL,
    PRIMARY KEY (pilot, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE attempts (
    job       INTEGER NOT NULL REFERENCES jobs,
    attempt   INTEGER NOT NULL,
    community TEXT NOT NULL,
    pilot     INTEGER NOT NULL REFERENCES pilots,
    site      TEXT NOT NULL,
    epoch     INTEGER NOT NULL,  -- of the pilot: request numbers begin anew with each
    agent     INTEGER NOT NULL,
    request   INTEGER NOT NULL,
    cores     INTEGER NOT NULL,
    phase     TEXT NOT NULL,
    started   REAL NOT NULL,     -- when it was leased
    ended     REAL,
    -- Who ended it: its pilot by a report, the central for it, or nobody because it was given back unstarted.
    closed    TEXT CHECK (closed IN ('reported', 'given-up', 'returned')),
    outcome   TEXT,
    usage     TEXT NOT NULL DEFAULT '{}',  -- JSON, the newest
    report    TEXT,                        -- JSON of AttemptReport: its end
    PRIMARY KEY (job, attempt),
    CHECK ((phase = 'ended') = (closed IS NOT NULL))
) STRICT;
-- What a pilot holds.
CREATE INDEX attempts_out ON attempts (pilot) WHERE phase <> 'ended';
-- What a match request was answered with.
CREATE INDEX attempts_by_request ON attempts (pilot, epoch, agent, request);

-- The history of an attempt: when it came to each phase.
CREATE TABLE attempt_events (
    job     INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    phase   TEXT NOT NULL,
    time    REAL NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (job, attempt, phase)
) STRICT, WITHOUT ROWID;

CREATE TABLE orders (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    pilot    INTEGER NOT NULL REFERENCES pilots,
    epoch    INTEGER NOT NULL,
    verb     TEXT NOT NULL,
    job      INTEGER,
    attempt  INTEGER,
    argument TEXT NOT NULL,
    reason   TEXT NOT NULL,
    who      TEXT NOT NULL,
    created  REAL NOT NULL,
    received REAL,
    done     REAL,
    result   TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX orders_open ON orders (pilot) WHERE received IS NULL;

CREATE TABLE sandboxes (
    community TEXT NOT NULL,
    sha256    TEXT NOT NULL,
    size      INTEGER NOT NULL,
    created   REAL NOT NULL,
    PRIMARY KEY (community, sha256)
) STRICT, WITHOUT ROWID;

-- Who leads a background duty, until when.
CREATE TABLE leaders (
    duty   TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    epoch  INTEGER NOT NULL,
    until  REAL NOT NULL
) STRICT, WITHOUT ROWID;

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

-- A pilot with its node.
CREATE VIEW pilots_whole AS
SELECT pilots.*, nodes.offer, nodes.facts
FROM pilots
LEFT JOIN nodes ON nodes.pilot = pilots.id;

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
           THEN orders.epoch = max(pilots.epoch, 1)
           ELSE attempts.phase <> 'ended'
      END;
