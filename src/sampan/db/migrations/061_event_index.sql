-- Pages are read by sequence; an index on the time only cost every event a write.
DROP INDEX event_time;
