-- +goose Up

-- Lists show an owner's callbacks, and those that failed, newest first. Most are delivered, so
-- the indexes of those that failed are small. The pending ones have deliveries_due.
DROP INDEX deliveries_owner;
CREATE INDEX deliveries_owner ON deliveries (owner, id);
CREATE INDEX deliveries_failed ON deliveries (id) WHERE status = 'failed';
CREATE INDEX deliveries_owner_failed ON deliveries (owner, id) WHERE status = 'failed';

-- Operators tell the workers of a host apart by their process ids.
ALTER TABLE workers ADD COLUMN pid INTEGER NOT NULL DEFAULT 0; -- process id; 0 if unknown
ALTER TABLE workers ADD COLUMN version TEXT NOT NULL DEFAULT ''; -- of the program; '' if unknown

-- +goose Down

ALTER TABLE workers DROP COLUMN version;
ALTER TABLE workers DROP COLUMN pid;
DROP INDEX deliveries_owner_failed;
DROP INDEX deliveries_failed;
DROP INDEX deliveries_owner;
CREATE INDEX deliveries_owner ON deliveries (owner, status, id);
