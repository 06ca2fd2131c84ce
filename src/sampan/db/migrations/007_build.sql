-- The build cache: results by key, and what each step's inputs were, so that a miss can be explained.
CREATE TABLE build_cache (
    key TEXT PRIMARY KEY,
    place TEXT NOT NULL,            -- stage and number of the instruction in its Dockerfile
    description TEXT NOT NULL,
    parts BLOB NOT NULL,            -- JSON: name of an input -> its digest or value
    layers BLOB NOT NULL,           -- JSON: the result's layers, lowest first
    size INTEGER NOT NULL,          -- bytes of the layer that the step made
    created REAL NOT NULL,
    used REAL NOT NULL,
    uses INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX build_cache_place ON build_cache (place, used);

-- Layers that a record stands on, so that removing an image leaves them.
CREATE TABLE layer_pin (
    owner TEXT NOT NULL,
    chain_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (owner, chain_id)
) WITHOUT ROWID;
CREATE INDEX layer_pin_chain ON layer_pin (chain_id);
