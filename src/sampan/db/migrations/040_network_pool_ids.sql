-- A remote address manager's own names of a network's pools, by subnet.
ALTER TABLE network ADD COLUMN pool_ids BLOB NOT NULL DEFAULT '{}';
