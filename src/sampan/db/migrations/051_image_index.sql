-- Images that came as one platform of an index. The index's blob is kept while one of them is here.
CREATE TABLE image_index (
    digest TEXT NOT NULL,
    image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
    PRIMARY KEY (digest, image)
) WITHOUT ROWID;
CREATE INDEX image_index_image ON image_index (image);
