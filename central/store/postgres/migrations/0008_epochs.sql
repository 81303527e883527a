-- A claim says which epoch of its pilot asks: what was asked before a resume is not for whoever resumed. claim_jobs leaves
-- a call of another epoch alone, as it does those of pilots that may have nothing, and claims.py decides on it.
DO $$
DECLARE
    before text := pg_get_functiondef('claim_jobs'::regproc);
    after  text;
BEGIN
    after := replace(before, 'AS call (place integer, agent bigint, request bigint, communities jsonb)',
                             'AS call (place integer, agent bigint, request bigint, epoch integer, communities jsonb)');
    after := replace(after, 'AND pilots.communities::jsonb @> call.communities',
                            'AND coalesce(call.epoch, pilots.epoch) = pilots.epoch '
                            'AND pilots.communities::jsonb @> call.communities');
    ASSERT length(after) > length(before) + 60, 'claim_jobs is not as it was made';
    EXECUTE after;
END
$$;
