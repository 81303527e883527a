-- Where the time of pilots' cores went, as each said last: one ledger an epoch. (pilots.ledger is not used any more.)
CREATE TABLE ledgers (
    pilot    bigint NOT NULL,
    epoch    integer NOT NULL,
    told     double precision NOT NULL,
    lifetime bigint NOT NULL,   -- microseconds; a later ledger has more
    final    boolean NOT NULL,  -- said at the end, or completed when the pilot could say no more
    ledger   text NOT NULL,     -- JSON of Ledger
    PRIMARY KEY (pilot, epoch)
);
CREATE INDEX pilots_by_end ON pilots (ended) WHERE ended IS NOT NULL;
