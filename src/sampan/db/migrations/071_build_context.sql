-- Contents of build contexts that clients sent, many to a pack (build/context/<id>): only what is not here travels.
CREATE TABLE context_pack (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    size INTEGER NOT NULL,          -- bytes
    created REAL NOT NULL,
    used REAL NOT NULL,
    uses INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE context_file (
    key BLOB PRIMARY KEY,           -- sha256 of the contents, and of where they have holes
    pack INTEGER NOT NULL REFERENCES context_pack (id) ON DELETE CASCADE,
    position INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX context_file_pack ON context_file (pack);
