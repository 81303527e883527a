-- Pilots are looked for by what their computing element calls them, and by their machine.
CREATE INDEX pilots_by_reference ON pilots (reference) WHERE reference <> '';
CREATE INDEX pilots_by_instance ON pilots (instance) WHERE instance <> '';
