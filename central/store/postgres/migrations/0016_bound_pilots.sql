-- The community that a pilot serves alone until its end, where payloads share its account; '': none yet, or all of its own.
-- It counts from the first job that the pilot was given: before, another may be put in its place.
ALTER TABLE pilots ADD COLUMN bound text NOT NULL DEFAULT '';

-- The view has the columns that its table had when it was made.
DROP VIEW pilots_whole;
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

-- claim_jobs leaves a call for another community than the one that its pilot is bound to alone, and claims.py decides on it.
DO $$
DECLARE
    before text := pg_get_functiondef('claim_jobs'::regproc);
    after  text;
BEGIN
    after := replace(before, 'AND pilots.communities::jsonb @> call.communities',
                             'AND pilots.communities::jsonb @> call.communities '
                             'AND (pilots.bound = '''' OR jsonb_build_array(pilots.bound) @> call.communities)');
    ASSERT length(after) > length(before) + 60, 'claim_jobs is not as it was made';
    EXECUTE after;
END
$$;
