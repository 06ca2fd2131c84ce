-- Keys by definition of cached steps that use files of other stages (build/definitions.py).
CREATE TABLE build_link (
    definition TEXT PRIMARY KEY,
    key TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX build_link_key ON build_link (key);
