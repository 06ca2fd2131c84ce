-- Files and repositories that builds fetched: build/source/<key>, a file or a checkout.
CREATE TABLE build_source (
    key TEXT PRIMARY KEY,
    kind TEXT NOT NULL,             -- BuildKit's word: source.git.checkout, source.http
    description TEXT NOT NULL,
    etag TEXT NOT NULL,             -- of a file, as the server gave it
    digest TEXT NOT NULL,           -- of a file: sha256 in hex
    modified INTEGER NOT NULL,      -- of a file: Last-Modified, seconds since the epoch
    size INTEGER NOT NULL,
    created REAL NOT NULL,
    used REAL NOT NULL,
    uses INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
