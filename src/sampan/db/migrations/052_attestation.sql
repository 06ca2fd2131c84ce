-- What an index states about an image (provenance, SBOM): digests of those manifests, and of all that each consists of.
CREATE TABLE image_attestation (
    image TEXT NOT NULL REFERENCES image (id) ON DELETE CASCADE,
    manifest TEXT NOT NULL,
    blob TEXT NOT NULL,
    PRIMARY KEY (image, manifest, blob)
) WITHOUT ROWID;
