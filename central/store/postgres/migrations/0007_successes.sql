-- A batch of attempts that succeeded, as their pilots report it, in one statement and one commit.
--   stamps            of the pilots, each once; `owners`: of each report the place of its pilot there, from 1
--   jobs_, attempts_  what is reported on, each once, in the order of the jobs
--   reports, usages   the JSON of each, a line for each
--   walls             seconds at most that it ran, as far as its pilot knows; cpus and peaks as they are accounted
--   clock             the time, NULL for this server's
-- Returns the places of those that are left alone because they take more thought, which ends.py gives them: an attempt
-- that is over or another pilot's, a job that was killed, a machine with failures.
-- It locks as everybody does: jobs by id, attempts, limits by name. A job that is out with this attempt says that the
-- attempt is not over, and both are looked at when nobody else can be changing them.
CREATE FUNCTION end_successes(stamps text[], owners integer[], jobs_ bigint[], attempts_ integer[], reports text,
                              usages text, exit_codes integer[], walls double precision[], cpus double precision[],
                              peaks bigint[], clock double precision)
RETURNS SETOF integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    moment   double precision := coalesce(clock, extract(epoch FROM clock_timestamp()));
    reports_ text[] := string_to_array(reports, E'\n');
    usages_  text[] := string_to_array(usages, E'\n');
    pilots_  bigint[];   -- by the places of their stamps; NULL for those whose reports are left alone
    doors    text[];     -- their queues
    done     integer[];  -- places, and of each what it counted against
    limits_  text[];
    cores_   integer[];
BEGIN
    -- The offsets keep the planner from looking at more than what is asked for, whatever it thinks of a new table.
    SELECT array_agg(pilots.id ORDER BY asked.place), array_agg(pilots.queue ORDER BY asked.place)
    INTO pilots_, doors
    FROM unnest(stamps) WITH ORDINALITY AS asked (stamp, place)
    LEFT JOIN LATERAL (
        SELECT id, queue FROM pilots
        WHERE pilots.stamp = asked.stamp
          AND NOT EXISTS (SELECT FROM hosts WHERE hosts.site = pilots.site AND hosts.host = pilots.host)
        OFFSET 0
    ) AS pilots ON true;

    IF cardinality(jobs_) > 1 THEN  -- in their order, in whichever order the update comes upon them
        PERFORM FROM unnest(jobs_) WITH ORDINALITY AS over (job, place)
        CROSS JOIN LATERAL (SELECT FROM jobs WHERE jobs.id = over.job FOR NO KEY UPDATE OFFSET 0) AS locked;
    END IF;

    WITH over AS MATERIALIZED (
        SELECT job, attempt, pilots_[owner] AS pilot, doors[owner] AS door, place::integer
        FROM unnest(jobs_, attempts_, owners) WITH ORDINALITY AS over (job, attempt, owner, place)
    ), ended AS (
        UPDATE jobs
        SET state = 'done', changed = moment, reason = '', outcome = 'success', exit_code = exit_codes[over.place]
        FROM over JOIN attempts USING (job, attempt, pilot)
        WHERE jobs.id = over.job AND jobs.attempt = over.attempt AND jobs.stage = 'out'
        RETURNING jobs.id, jobs.attempt, jobs.community, jobs."group", jobs.owner, over.door, over.place
    ), closed AS (
        UPDATE attempts
        SET phase = 'ended', ended = moment, closed = 'reported', outcome = 'success',
            report = reports_[ended.place], usage = usages_[ended.place]
        FROM ended WHERE attempts.job = ended.id AND attempts.attempt = ended.attempt
        RETURNING attempts.job, attempts.attempt, attempts.pilot, attempts.cores, attempts.started, attempts.site,
                  attempts.limits, ended.community, ended."group", ended.owner, ended.door, ended.place
    ), accounted AS (
        INSERT INTO accounting (job, attempt, pilot, cores, started, ended, wall, cpu, memory_peak, community, "group",
                                owner, site, queue, outcome)
        SELECT job, attempt, pilot, cores, started, moment, least(walls[place], greatest(moment - started, 0)),
               cpus[place], peaks[place], community, "group", owner, site, door, 'success'
        FROM closed
    ), reopened AS (  -- the clock was set back into an hour that is summed: it is summed again
        UPDATE usage_summed SET until = floor(moment / 3600) * 3600 WHERE until > floor(moment / 3600) * 3600
    )
    SELECT array_agg(place), array_agg(limits), array_agg(cores) INTO done, limits_, cores_ FROM closed;

    WITH less AS MATERIALIZED (
        SELECT name, sum(number) AS attempts, sum(number * cores) AS cores
        FROM (
            SELECT names, cores, count(*) AS number FROM unnest(limits_, cores_) AS over (names, cores)
            WHERE names IS NOT NULL GROUP BY names, cores
        ) AS limited
        CROSS JOIN json_array_elements_text(names::json) AS name
        GROUP BY name
    ), locked AS MATERIALIZED (
        SELECT name FROM limits WHERE name = ANY (ARRAY(SELECT name FROM less)) ORDER BY name FOR NO KEY UPDATE
    )
    UPDATE limits SET attempts = limits.attempts - less.attempts, cores = limits.cores - less.cores
    FROM less WHERE limits.name = less.name AND (SELECT count(*) FROM locked) > 0;

    IF coalesce(cardinality(done), 0) < cardinality(jobs_) THEN
        RETURN QUERY
        SELECT place FROM generate_series(1, cardinality(jobs_)) AS place WHERE done IS NULL OR place <> ALL (done);
    END IF;
END
$$;
