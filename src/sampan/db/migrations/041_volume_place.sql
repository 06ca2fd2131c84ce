-- Where a plugin said that a volume's data is, and its scope: lists never ask it. The local driver knows by itself.
ALTER TABLE volume ADD COLUMN mountpoint TEXT NOT NULL DEFAULT '';
ALTER TABLE volume ADD COLUMN scope TEXT NOT NULL DEFAULT 'local';
