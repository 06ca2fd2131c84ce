-- Secrets without Swarm (engine/secrets.py): `sealed` is nonce, ciphertext and tag (engine/sealing.py); labels are JSON.
CREATE TABLE secret (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL,
    labels TEXT NOT NULL,
    sealed BLOB NOT NULL
) WITHOUT ROWID;
