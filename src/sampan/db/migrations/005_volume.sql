-- options and labels are JSON objects, "null" where none were given (inspect shows the difference).
-- copied says that the volume was filled from an image once: it never is again (S30).
CREATE TABLE volume (
    name TEXT PRIMARY KEY,
    driver TEXT NOT NULL,
    options TEXT NOT NULL,
    labels TEXT NOT NULL,
    created TEXT NOT NULL,
    copied INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
