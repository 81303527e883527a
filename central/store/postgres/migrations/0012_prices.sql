-- What the machine of a pilot costs, as it was when the pilot was planned; of pilots that nobody has put a price to there is
-- no row.
CREATE TABLE prices (
    pilot    bigint PRIMARY KEY,
    hour     double precision NOT NULL,
    currency text NOT NULL,
    period   integer NOT NULL,  -- seconds that it is paid by; 0: by the second
    machine  boolean NOT NULL   -- paid from when it was asked for; else from when its pilot enrolled
);
