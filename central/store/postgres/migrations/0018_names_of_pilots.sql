-- Pilots are looked for by what their computing element calls them, by their machine, and by the first digits of their stamp.
CREATE INDEX pilots_by_reference ON pilots (reference) WHERE reference <> '';
CREATE INDEX pilots_by_instance ON pilots (instance) WHERE instance <> '';
CREATE INDEX pilots_by_stamp ON pilots (stamp text_pattern_ops);
