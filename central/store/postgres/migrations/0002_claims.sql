-- What a claim needs to know of earlier requests is in the row of the pilot, which it locks anyway: one index less to keep.
ALTER TABLE pilots ADD COLUMN answered jsonb NOT NULL DEFAULT '{}';  -- agent → its last request of this epoch given jobs
UPDATE pilots SET answered = given.answered
FROM (
    SELECT pilot, jsonb_object_agg(agent, request) AS answered
    FROM (
        SELECT attempts.pilot, attempts.agent, max(attempts.request) AS request
        FROM attempts JOIN pilots ON pilots.id = attempts.pilot AND pilots.epoch = attempts.epoch
        GROUP BY attempts.pilot, attempts.agent
    ) AS last
    GROUP BY pilot
) AS given
WHERE pilots.id = given.pilot;
DROP INDEX attempts_by_request;

DROP FUNCTION claim_jobs(json, json, text[], double precision);

-- A batch of claims in one statement and one commit: all of it, or nothing.
--   calls      stamp → its calls, objects {place, agent, request, communities}; the latter are those of its queues
--   stamps     the keys of `calls`; `many`: how many calls that makes
--   queues     what is taken from; for each queue how many jobs, and how many from those before it
--   slots      queue by queue, for each job that is asked for, the number of the pick that it is for
--   picks_     of each pick, by number: the place of its call, the cores of a job, its limits (JSON, or NULL)
--   needed     limit → {attempts, cores} that all of it counts there; `names` are the keys
--   clock      the time, NULL for this server's
-- When calls take more thought nothing is done, and the rows have no job but say whose fault it is: `place` for a call
-- of a pilot that may have nothing, or whose machine is suspect, or of a number that was answered before; `short` for
-- a limit that is unknown or has not room for all. claims.py decides on these.
-- It locks as everybody does: pilots, limits, and waiting jobs without waiting for them. Whether a pilot may have jobs,
-- and whether a number was answered, is in the rows that are locked, so that it is the newest.
CREATE FUNCTION claim_jobs(calls jsonb, stamps text[], many integer,
                           queues bigint[], counts integer[], befores integer[], slots integer[],
                           picks_call integer[], picks_cores integer[], picks_limits text[],
                           needed jsonb, names text[], clock double precision)
RETURNS TABLE (job bigint, attempt integer, queue bigint, priority smallint, document bigint, parameters text,
               inputs text, pick integer, place integer, short text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    moment   double precision;
    usual    integer[];  -- the places of the calls that may be served
    pilots_  bigint[];   -- and of each of them what its leases say
    epochs   integer[];
    agents   bigint[];
    requests bigint[];
    sites    text[];
    roomy    text[];     -- limits
    ids      bigint[];   -- the jobs, and of each whose pick it is
    owners   integer[];
BEGIN
    -- The offsets keep the planner from looking at more than what is asked for, whatever it thinks of a new table.
    SELECT array_agg(place), array_agg(pilot), array_agg(epoch), array_agg(agent), array_agg(request), array_agg(site)
    INTO usual, pilots_, epochs, agents, requests, sites
    FROM (
        SELECT call.place, pilots.id AS pilot, pilots.epoch, call.agent, call.request, pilots.site
        FROM (
            SELECT * FROM pilots WHERE stamp = ANY (stamps) ORDER BY id FOR NO KEY UPDATE
        ) AS pilots
        CROSS JOIN LATERAL jsonb_to_recordset(calls -> pilots.stamp)
          AS call (place integer, agent bigint, request bigint, communities jsonb)
        LEFT JOIN LATERAL (
            SELECT suspected FROM hosts WHERE hosts.site = pilots.site AND hosts.host = pilots.host OFFSET 0
        ) AS hosts ON true
        WHERE pilots.state IN ('running', 'silent') AND NOT pilots.draining AND pilots.alarm = ''
          AND pilots.communities::jsonb @> call.communities AND hosts.suspected IS NULL
          AND call.request > coalesce((pilots.answered ->> call.agent::text)::bigint, -1)
        ORDER BY call.place
    ) AS served;
    IF coalesce(cardinality(usual), 0) < many THEN
        RETURN QUERY
        SELECT NULL::bigint, NULL::integer, NULL::bigint, NULL::smallint, NULL::bigint, NULL, NULL, NULL::integer,
               (call ->> 'place')::integer, NULL
        FROM jsonb_each(calls) AS each, jsonb_array_elements(each.value) AS call
        WHERE usual IS NULL OR (call ->> 'place')::integer <> ALL (usual);
        RETURN;
    END IF;
    moment := coalesce(clock, extract(epoch FROM clock_timestamp()));

    IF cardinality(names) > 0 THEN
        LOCK TABLE attempts IN ROW EXCLUSIVE MODE;  -- before the limits, as every end of an attempt does
        SELECT array_agg(limits.name) INTO roomy
        FROM (SELECT * FROM limits WHERE name = ANY (names) ORDER BY name FOR NO KEY UPDATE) AS limits
        WHERE (limits.attempts + (needed -> limits.name ->> 'attempts')::bigint
               > (limits.definition::json ->> 'attempts')::bigint
            OR limits.cores + (needed -> limits.name ->> 'cores')::bigint
               > (limits.definition::json ->> 'cores')::bigint) IS NOT TRUE;
        IF coalesce(cardinality(roomy), 0) < cardinality(names) THEN
            RETURN QUERY
            SELECT NULL::bigint, NULL::integer, NULL::bigint, NULL::smallint, NULL::bigint, NULL, NULL, NULL::integer,
                   NULL::integer, name
            FROM unnest(names) AS name WHERE roomy IS NULL OR name <> ALL (roomy);
            RETURN;
        END IF;
    END IF;

    FOR turn IN 1..2 LOOP
        SELECT array_agg(first.id), array_agg(slots[asked.before + first.place]) INTO ids, owners
        FROM unnest(queues, counts, befores) AS asked (queue, count, before)
        CROSS JOIN LATERAL (
            SELECT id, row_number() OVER (ORDER BY priority DESC, id)::integer AS place
            FROM (
                SELECT id, priority FROM jobs WHERE jobs.queue = asked.queue AND stage = 'waiting'
                ORDER BY priority DESC, id LIMIT asked.count
                FOR NO KEY UPDATE SKIP LOCKED
            ) AS locked
        ) AS first;
        EXIT WHEN turn = 2 OR coalesce(cardinality(ids), 0) = cardinality(slots)
            OR coalesce(cardinality(ids), 0) = (
                SELECT count(*)
                FROM unnest(queues, counts) AS asked (queue, count)
                CROSS JOIN LATERAL (
                    SELECT FROM jobs WHERE jobs.queue = asked.queue AND stage = 'waiting' LIMIT asked.count
                ) AS there
            );
        PERFORM pg_sleep(0.005);  -- others are just taking some, or giving them back
    END LOOP;

    RETURN QUERY
    WITH given AS (
        UPDATE jobs SET state = 'matched', attempt = jobs.attempt + 1, changed = moment, reason = ''
        FROM unnest(ids, owners) AS chosen (id, pick)
        WHERE jobs.id = chosen.id
        RETURNING jobs.id, jobs.attempt, jobs.queue, jobs.priority, jobs.document, jobs.parameters, jobs.inputs,
                  jobs.community, chosen.pick, picks_call[chosen.pick] AS call
    ), leased AS (
        INSERT INTO attempts (job, attempt, pilot, epoch, agent, request, cores, started, phase, community, site,
                              limits)
        SELECT id, attempt, pilots_[call], epochs[call], agents[call], requests[call], picks_cores[pick], moment,
               'matched', community, sites[call], picks_limits[pick]
        FROM given
    ), counted AS (
        UPDATE limits SET attempts = limits.attempts + more.attempts, cores = limits.cores + more.cores
        FROM (
            SELECT name, sum(number) AS attempts, sum(number * picks_cores[pick]) AS cores
            FROM (
                SELECT pick, count(*) AS number FROM given WHERE picks_limits[pick] IS NOT NULL GROUP BY pick
            ) AS limited
            CROSS JOIN json_array_elements_text(picks_limits[pick]::json) AS name
            GROUP BY name
        ) AS more
        WHERE limits.name = more.name
    ), heard AS (  -- a claim is a word of the pilot: its leases count from now on
        UPDATE pilots
        SET leases = pilots.leases + won.leases, last_seen = greatest(last_seen, moment), state = 'running',
            answered = pilots.answered || won.answered
        FROM (
            SELECT pilot, sum(number) AS leases,
                   coalesce(jsonb_object_agg(agent, request ORDER BY request) FILTER (WHERE number > 0), '{}')
                   AS answered
            FROM (
                SELECT pilots_[call] AS pilot, agents[call] AS agent, requests[call] AS request, count(*) AS number
                FROM given GROUP BY call
                UNION ALL
                SELECT unnest(pilots_), 0, 0, 0
            ) AS each
            GROUP BY pilot
        ) AS won
        WHERE pilots.id = won.pilot
    )
    SELECT given.id, given.attempt, given.queue, given.priority, given.document, given.parameters, given.inputs,
           given.pick, NULL::integer, NULL
    FROM given;
END
$$;
