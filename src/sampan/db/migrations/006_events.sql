-- The event journal: replayed by `events --since`. Attributes are JSON.
CREATE TABLE event (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    time_ns INTEGER NOT NULL,
    type TEXT NOT NULL,
    action TEXT NOT NULL,
    actor TEXT NOT NULL,
    attributes TEXT NOT NULL,
    scope TEXT NOT NULL
);
CREATE INDEX event_time ON event (time_ns);
