-- When an image came through an index last: of several, the newest is the one that goes on.
ALTER TABLE image_index ADD COLUMN noted REAL NOT NULL DEFAULT 0;
