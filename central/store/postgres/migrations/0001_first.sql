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

-- A batch of claims in one statement and one commit. `calls` are objects {number, stamp, agent, request, communities},
-- the latter those of its queues; `picks` {number, call, queue, count, cores, limits}, in the order of the calls; `names` all
-- limits that these name; `clock` the time, NULL for this server's. Returns what each call gets. Those that take more
-- thought (of a pilot that may have nothing, or whose machine is suspect, of a number that was answered before, or under
-- a limit that has not room for all) come back with no job: for them nothing was done, and claims.py decides.
-- It locks as everybody does: pilots, limits, and waiting jobs without waiting for them. Each statement sees what was
-- committed before it, so the answers to a number are looked up when nobody else can be giving one.
CREATE FUNCTION claim_jobs(calls json, picks json, names text[], clock double precision)
RETURNS TABLE (call integer, job bigint, attempt integer, queue bigint, priority smallint, document bigint,
               parameters text, inputs text, pick integer)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    moment   double precision;
    usual    integer[];  -- the calls that are served
    pilots_  bigint[];   -- and of each of them what its leases say
    epochs   integer[];
    agents   bigint[];
    requests bigint[];
    sites    text[];
    short    text[];     -- limits
    calls_   integer[];  -- of each pick, in their order
    cores_   integer[];
    limits_  text[];
    slots    integer[];  -- queue by queue, for each job that is asked for, whose pick it is
    ids      bigint[];   -- the jobs, and of each whose pick it is
    owners   integer[];
BEGIN
    PERFORM FROM pilots
    WHERE stamp = ANY (ARRAY(SELECT asked.stamp FROM json_to_recordset(calls) AS asked (stamp text)))
    ORDER BY id FOR NO KEY UPDATE;
    moment := coalesce(clock, extract(epoch FROM clock_timestamp()));

    -- The offsets keep the planner from looking at more than what is asked for, whatever it thinks of a new table.
    SELECT array_agg(asked.number), array_agg(pilots.id), array_agg(pilots.epoch), array_agg(asked.agent),
           array_agg(asked.request), array_agg(pilots.site)
    INTO usual, pilots_, epochs, agents, requests, sites
    FROM json_to_recordset(calls)
      AS asked (number integer, stamp text, agent bigint, request bigint, communities jsonb)
    CROSS JOIN LATERAL (SELECT * FROM pilots WHERE stamp = asked.stamp OFFSET 0) AS pilots
    LEFT JOIN LATERAL (
        SELECT suspected FROM hosts WHERE hosts.site = pilots.site AND hosts.host = pilots.host OFFSET 0
    ) AS hosts ON true
    LEFT JOIN LATERAL (
        SELECT job FROM attempts
        WHERE attempts.pilot = pilots.id AND attempts.epoch = pilots.epoch
          AND attempts.agent = asked.agent AND attempts.request = asked.request
        LIMIT 1
    ) AS answered ON true
    WHERE pilots.state IN ('running', 'silent') AND NOT pilots.draining AND pilots.alarm = ''
      AND pilots.communities::jsonb @> asked.communities
      AND hosts.suspected IS NULL AND answered.job IS NULL;

    IF cardinality(names) > 0 THEN
        LOCK TABLE attempts IN ROW EXCLUSIVE MODE;  -- before the limits, as every end of an attempt does
        PERFORM FROM limits WHERE name = ANY (names) ORDER BY name FOR NO KEY UPDATE;
        SELECT array_agg(asked.name) INTO short
        FROM (
            SELECT name, sum(pick.count) AS attempts, sum(pick.count * pick.cores) AS cores
            FROM json_to_recordset(picks) AS pick (call integer, count bigint, cores bigint, limits json)
            CROSS JOIN json_array_elements_text(pick.limits) AS name
            WHERE pick.call = ANY (usual)
            GROUP BY name
        ) AS asked
        LEFT JOIN limits ON limits.name = asked.name
        WHERE limits.name IS NULL
           OR limits.attempts + asked.attempts > (limits.definition::json ->> 'attempts')::bigint
           OR limits.cores + asked.cores > (limits.definition::json ->> 'cores')::bigint;
        IF short IS NOT NULL THEN
            SELECT array_agg(asking.call), array_agg(asking.pilot), array_agg(asking.epoch), array_agg(asking.agent),
                   array_agg(asking.request), array_agg(asking.site)
            INTO usual, pilots_, epochs, agents, requests, sites
            FROM unnest(usual, pilots_, epochs, agents, requests, sites)
              AS asking (call, pilot, epoch, agent, request, site)
            WHERE asking.call NOT IN (
                SELECT pick.call FROM json_to_recordset(picks) AS pick (call integer, limits jsonb)
                WHERE pick.limits ?| short
            );
        END IF;
    END IF;

    IF usual IS NOT NULL THEN
        SELECT array_agg(pick.call), array_agg(pick.cores), array_agg(pick.limits::text) INTO calls_, cores_, limits_
        FROM json_to_recordset(picks) AS pick (call integer, cores integer, limits json);
        IF json_array_length(picks) > 1 THEN
            SELECT array_agg(pick.number ORDER BY pick.queue, pick.number) INTO slots
            FROM json_to_recordset(picks) AS pick (number integer, call integer, queue bigint, count bigint)
            CROSS JOIN generate_series(1, pick.count)
            WHERE pick.call = ANY (usual);
        ELSE
            slots := array_fill(0, ARRAY[coalesce((picks -> 0 ->> 'count')::integer, 0)]);
        END IF;
        FOR turn IN 1..2 LOOP
            SELECT array_agg(first.id), array_agg(slots[asked.before + first.place]) INTO ids, owners
            FROM (
                SELECT pick.queue, sum(pick.count) AS count,
                       (sum(sum(pick.count)) OVER (ORDER BY pick.queue) - sum(pick.count))::integer AS before
                FROM json_to_recordset(picks) AS pick (call integer, queue bigint, count bigint)
                WHERE pick.call = ANY (usual)
                GROUP BY pick.queue
            ) AS asked
            CROSS JOIN LATERAL (
                SELECT id, row_number() OVER (ORDER BY priority DESC, id)::integer AS place
                FROM (
                    SELECT id, priority FROM jobs WHERE jobs.queue = asked.queue AND stage = 'waiting'
                    ORDER BY priority DESC, id LIMIT asked.count
                    FOR NO KEY UPDATE SKIP LOCKED
                ) AS locked
            ) AS first;
            EXIT WHEN turn = 2 OR coalesce(cardinality(ids), 0) = coalesce(cardinality(slots), 0)
                OR coalesce(cardinality(ids), 0) = (
                    SELECT count(*)
                    FROM (
                        SELECT pick.queue, sum(pick.count) AS count
                        FROM json_to_recordset(picks) AS pick (call integer, queue bigint, count bigint)
                        WHERE pick.call = ANY (usual)
                        GROUP BY pick.queue
                    ) AS asked
                    CROSS JOIN LATERAL (
                        SELECT FROM jobs WHERE jobs.queue = asked.queue AND stage = 'waiting' LIMIT asked.count
                    ) AS there
                );
            PERFORM pg_sleep(0.005);  -- others are just taking some, or giving them back
        END LOOP;

        IF cardinality(names) > 0 THEN
            UPDATE limits SET attempts = limits.attempts + more.attempts, cores = limits.cores + more.cores
            FROM (
                SELECT name, sum(number) AS attempts, sum(number * cores_[pick + 1]) AS cores
                FROM (
                    SELECT pick, count(*) AS number FROM unnest(owners) AS pick
                    WHERE limits_[pick + 1] IS NOT NULL GROUP BY pick
                ) AS limited
                CROSS JOIN json_array_elements_text(limits_[pick + 1]::json) AS name
                GROUP BY name
            ) AS more
            WHERE limits.name = more.name;
        END IF;

        RETURN QUERY
        WITH given AS (
            UPDATE jobs SET state = 'matched', attempt = jobs.attempt + 1, changed = moment, reason = ''
            FROM unnest(ids, owners) AS chosen (id, pick)
            WHERE jobs.id = chosen.id
            RETURNING jobs.id, jobs.attempt, jobs.queue, jobs.priority, jobs.document, jobs.parameters, jobs.inputs,
                      jobs.community, chosen.pick, array_position(usual, calls_[chosen.pick + 1]) AS place
        ), leased AS (
            INSERT INTO attempts (job, attempt, pilot, epoch, agent, request, cores, started, phase, community, site,
                                  limits)
            SELECT id, attempt, pilots_[place], epochs[place], agents[place], requests[place], cores_[pick + 1],
                   moment, 'matched', community, sites[place], limits_[pick + 1]
            FROM given
        ), heard AS (  -- a claim is a word of the pilot: its leases count from now on
            UPDATE pilots
            SET leases = pilots.leases + won.leases, last_seen = greatest(last_seen, moment), state = 'running'
            FROM (
                SELECT pilot, sum(number) AS leases
                FROM (
                    SELECT pilots_[place] AS pilot, 1 AS number FROM given
                    UNION ALL
                    SELECT unnest(pilots_), 0
                ) AS each
                GROUP BY pilot
            ) AS won
            WHERE pilots.id = won.pilot
        )
        SELECT calls_[given.pick + 1], given.id, given.attempt, given.queue, given.priority, given.document,
               given.parameters, given.inputs, given.pick
        FROM given;
    END IF;

    IF coalesce(cardinality(usual), 0) < json_array_length(calls) THEN
        RETURN QUERY
        SELECT asked.number, NULL::bigint, NULL::integer, NULL::bigint, NULL::smallint, NULL::bigint, NULL, NULL,
               NULL::integer
        FROM json_to_recordset(calls) AS asked (number integer)
        WHERE usual IS NULL OR asked.number <> ALL (usual);
    END IF;
END
$$;
