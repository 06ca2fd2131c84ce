-- One row per snapshot. directory is the number of its directory below snapshots/<driver>/; AUTOINCREMENT so that a
-- number is never given twice and a directory left by a crash cannot be taken for a new one.
CREATE TABLE snapshot (
    directory INTEGER PRIMARY KEY AUTOINCREMENT,
    driver TEXT NOT NULL,
    key TEXT NOT NULL,
    parent TEXT,
    committed INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    inodes INTEGER NOT NULL DEFAULT 0,
    UNIQUE (driver, key),
    FOREIGN KEY (driver, parent) REFERENCES snapshot (driver, key)
);
CREATE INDEX snapshot_parent ON snapshot (driver, parent);
