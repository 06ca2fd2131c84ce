-- Images. A row here is the truth; blobs and snapshots that no row names are garbage.
CREATE TABLE image (
    id TEXT PRIMARY KEY,              -- digest of the configuration
    manifest TEXT NOT NULL,           -- digest of the manifest that our layers belong to
    parent TEXT NOT NULL DEFAULT '',  -- the local image that it was committed or built on
    size INTEGER NOT NULL,            -- bytes of all layers, unpacked
    tagged_at TEXT NOT NULL,          -- RFC 3339; Go's zero time before the first tag
    used_at REAL NOT NULL             -- seconds since the epoch: entered the store, or a container was made from it
) WITHOUT ROWID;
CREATE TABLE image_layer (
    image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,        -- 0 is the lowest
    digest TEXT NOT NULL,             -- of the blob, as downloaded
    media_type TEXT NOT NULL,
    compressed_size INTEGER NOT NULL,
    diff_id TEXT NOT NULL,            -- digest of the uncompressed tar
    chain_id TEXT NOT NULL,           -- key of the snapshot
    size INTEGER NOT NULL,            -- bytes unpacked
    PRIMARY KEY (image, position)
) WITHOUT ROWID;
CREATE INDEX image_layer_chain ON image_layer (chain_id);
CREATE INDEX image_layer_digest ON image_layer (digest);
CREATE TABLE image_tag (
    name TEXT PRIMARY KEY,            -- docker.io/library/busybox:latest
    image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX image_tag_image ON image_tag (image);
CREATE TABLE image_digest (
    name TEXT PRIMARY KEY,            -- docker.io/library/busybox@sha256:…, of a manifest or an index
    image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX image_digest_image ON image_digest (image);
CREATE TABLE blob_origin (
    digest TEXT NOT NULL,             -- of a layer blob
    repository TEXT NOT NULL,         -- docker.io/library/busybox: a push to the same registry may mount from it
    PRIMARY KEY (digest, repository)
) WITHOUT ROWID;
