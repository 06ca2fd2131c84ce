-- One row per network. `pools` are the subnets and gateways in effect, where `record` shows what was asked for;
-- `made_link`: the bridge is ours to delete. Addresses and ports are the live containers', in their own records.
CREATE TABLE network (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    record BLOB NOT NULL,
    pools BLOB NOT NULL,
    made_link INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
