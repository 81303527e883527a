-- What the machine of a pilot costs, as it was when the pilot was planned; of pilots that nobody has put a price to there is
-- no row.
CREATE TABLE prices (
    pilot    INTEGER PRIMARY KEY REFERENCES pilots,
    hour     REAL NOT NULL,
    currency TEXT NOT NULL,
    period   INTEGER NOT NULL,  -- seconds that it is paid by; 0: by the second
    machine  INTEGER NOT NULL   -- 1: paid from when it was asked for, 0: from when its pilot enrolled
) STRICT;
