-- The index through which a name came, or the name that it was tagged from; empty where a name means one image alone.
ALTER TABLE image_tag ADD COLUMN index_digest TEXT NOT NULL DEFAULT '';
UPDATE image_tag SET index_digest = ifnull(
    (SELECT digest FROM image_index WHERE image_index.image = image_tag.image ORDER BY noted DESC LIMIT 1), '');
