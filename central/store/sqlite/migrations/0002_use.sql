-- Use, limits, suspect machines, retention. Times as in the first schema; `hour` is the start of an hour, in whole
-- seconds since the epoch.

-- What each ended attempt used; never changed, and kept when its job is deleted. Not for leases given back unstarted.
CREATE TABLE accounting (
    job         INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    community   TEXT NOT NULL,
    "group"     TEXT NOT NULL,
    owner       TEXT NOT NULL,
    site        TEXT NOT NULL,
    queue       TEXT NOT NULL,     -- the pilot's
    pilot       INTEGER NOT NULL,
    cores       INTEGER NOT NULL,
    started     REAL NOT NULL,     -- when it was leased
    ended       REAL NOT NULL,
    wall        REAL NOT NULL,     -- seconds
    cpu         REAL,              -- seconds; NULL: not measured
    memory_peak INTEGER,           -- bytes; NULL: not measured
    outcome     TEXT NOT NULL,
    PRIMARY KEY (ended, job, attempt)
) STRICT, WITHOUT ROWID;
-- Each attempt once, whatever ended it.
CREATE UNIQUE INDEX accounting_once ON accounting (job, attempt);

-- Accounting summed by the hour in which attempts ended.
CREATE TABLE usage_hours (
    hour              INTEGER NOT NULL,
    community         TEXT NOT NULL,
    "group"           TEXT NOT NULL,
    owner             TEXT NOT NULL,
    site              TEXT NOT NULL,
    attempts          INTEGER NOT NULL,
    succeeded         INTEGER NOT NULL,
    core_seconds      REAL NOT NULL,
    cpu_seconds       REAL NOT NULL,
    memory_peak       INTEGER NOT NULL,
    lost_core_seconds REAL NOT NULL,
    PRIMARY KEY (hour, community, "group", owner, site)
) STRICT, WITHOUT ROWID;

-- One row: of all hours before `until` usage_hours has the sums, of none after; those before `summing` are being summed.
CREATE TABLE usage_summed (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    until    INTEGER NOT NULL,
    summing  INTEGER NOT NULL,
    CHECK (until <= summing)
) STRICT;
INSERT INTO usage_summed VALUES (1, 0, 0);

-- The limits on what runs, and what counts against each now.
CREATE TABLE limits (
    name       TEXT NOT NULL PRIMARY KEY,
    definition TEXT NOT NULL,     -- JSON of Limit
    attempts   INTEGER NOT NULL,
    cores      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
ALTER TABLE attempts ADD COLUMN limits TEXT;  -- JSON: names of those that it counts against; NULL: none

-- Machines on which something failed, since the last success there: see store/suspicion.py.
CREATE TABLE hosts (
    site      TEXT NOT NULL,
    host      TEXT NOT NULL,
    failures  INTEGER NOT NULL,
    faults    INTEGER NOT NULL,
    owner     TEXT NOT NULL,
    several   INTEGER NOT NULL,
    since     REAL NOT NULL,
    suspected REAL,
    pause     REAL NOT NULL,
    next      REAL NOT NULL,
    changed   REAL NOT NULL,
    PRIMARY KEY (site, host)
) STRICT, WITHOUT ROWID;
ALTER TABLE pilots ADD COLUMN host TEXT NOT NULL DEFAULT '';  -- the machine, as its fact says
-- What is out on a machine.
CREATE INDEX pilots_by_host ON pilots (site, host) WHERE host <> '' AND ended IS NULL;

-- From here on attempt_events has only what lies between the beginning and the end of an attempt: those two, with their
-- times and words, are in attempts.

-- How many jobs there are. Whoever inserts jobs adds them (they come by thousands); the triggers keep the rest.
CREATE TABLE job_counts (
    community TEXT NOT NULL,
    state     TEXT NOT NULL,
    jobs      INTEGER NOT NULL,
    PRIMARY KEY (community, state)
) STRICT, WITHOUT ROWID;
INSERT INTO job_counts SELECT community, state, count(*) FROM jobs GROUP BY community, state;
CREATE TRIGGER jobs_moved AFTER UPDATE OF state ON jobs WHEN NEW.state <> OLD.state BEGIN
    UPDATE job_counts SET jobs = jobs - 1 WHERE community = OLD.community AND state = OLD.state;
    INSERT INTO job_counts VALUES (NEW.community, NEW.state, 1)
    ON CONFLICT DO UPDATE SET jobs = jobs + 1;
END;
CREATE TRIGGER jobs_gone AFTER DELETE ON jobs BEGIN
    UPDATE job_counts SET jobs = jobs - 1 WHERE community = OLD.community AND state = OLD.state;
END;

-- For retention: what was final before a time, what refers to it, and answers to old keys.
-- (Not IN: to see whether a row belongs here, for each one that changes, would take three times as long.)
CREATE INDEX jobs_final ON jobs (changed) WHERE state = 'done' OR state = 'failed' OR state = 'killed';
CREATE INDEX jobs_by_document ON jobs (document);
CREATE INDEX jobs_by_parent ON jobs (parent) WHERE parent IS NOT NULL;
CREATE INDEX orders_by_job ON orders (job) WHERE job IS NOT NULL;
CREATE INDEX submissions_by_time ON submissions (created);

-- What the first schema knew.
INSERT INTO accounting
SELECT attempts.job, attempts.attempt, attempts.community, jobs."group", jobs.owner, attempts.site, pilots.queue,
       pilots.id, attempts.cores, attempts.started, attempts.ended,
       CASE WHEN attempts.closed = 'reported' AND coalesce(attempts.usage ->> 'wall', 0) > 0
            THEN min(CAST(attempts.usage ->> 'wall' AS REAL), max(attempts.ended - attempts.started, 0.0))
            ELSE max(attempts.ended - attempts.started, 0.0)
       END,
       CAST(attempts.usage ->> 'cpu' AS REAL), CAST(attempts.usage ->> 'memory_peak' AS INTEGER), attempts.outcome
FROM attempts
JOIN jobs ON jobs.id = attempts.job
JOIN pilots ON pilots.id = attempts.pilot
WHERE attempts.closed IN ('reported', 'given-up') AND attempts.outcome IS NOT NULL;

UPDATE pilots SET host = coalesce(
    (SELECT fact.value ->> 'value' FROM nodes, json_each(nodes.facts) AS fact
     WHERE nodes.pilot = pilots.id AND fact.value ->> 'name' = 'host' AND json_type(fact.value, '$.value') = 'text'),
    '');

-- An attempt with its pilot's stamp and its job's standing.
DROP VIEW attempts_whole;
CREATE VIEW attempts_whole AS
SELECT attempts.*,
       pilots.stamp,
       pilots.queue AS pilot_queue,
       pilots.host,
       jobs.state AS job_state,
       jobs.attempt AS current,
       jobs.queue,
       jobs."group",
       jobs.owner,
       jobs.priority,
       jobs.retries,
       jobs.retries_used,
       jobs.blameless_ends
FROM attempts
JOIN pilots ON pilots.id = attempts.pilot
JOIN jobs ON jobs.id = attempts.job;

-- What a suspect machine has out that was leased since: trials, one at a time.
CREATE VIEW suspects AS
SELECT hosts.*,
       (SELECT count(*)
        FROM pilots CROSS JOIN attempts ON attempts.pilot = pilots.id
        WHERE pilots.site = hosts.site AND pilots.host = hosts.host AND pilots.host <> '' AND pilots.ended IS NULL
          AND attempts.phase <> 'ended' AND attempts.started > hosts.suspected) AS out
FROM hosts WHERE hosts.suspected IS NOT NULL;

-- A pilot with its node.
DROP VIEW pilots_whole;
CREATE VIEW pilots_whole AS
SELECT pilots.*, nodes.offer, nodes.facts
FROM pilots
LEFT JOIN nodes ON nodes.pilot = pilots.id;
