-- Where the time of pilots' cores went, as each said last: one ledger an epoch. (pilots.ledger is not used any more.)
CREATE TABLE ledgers (
    pilot    INTEGER NOT NULL REFERENCES pilots,
    epoch    INTEGER NOT NULL,
    told     REAL NOT NULL,
    lifetime INTEGER NOT NULL,  -- microseconds; a later ledger has more
    final    INTEGER NOT NULL,  -- 1: said at the end, or completed when the pilot could say no more
    ledger   TEXT NOT NULL,     -- JSON of Ledger
    PRIMARY KEY (pilot, epoch)
) STRICT, WITHOUT ROWID;
CREATE INDEX pilots_by_end ON pilots (ended);
