-- +goose Up

-- Workers claim deliveries themselves; before, a River job told them of each one.
ALTER TABLE deliveries ADD COLUMN claimed_by TEXT; -- the worker that makes an attempt at it
ALTER TABLE deliveries ADD COLUMN claims INTEGER NOT NULL DEFAULT 0; -- how often it was claimed
ALTER TABLE deliveries ADD COLUMN tried INTEGER NOT NULL DEFAULT 0; -- 1 after an attempt, or when it is sent again
UPDATE deliveries SET tried = 1 WHERE attempts > 0;
ALTER TABLE deliveries DROP COLUMN claimed_until;
ALTER TABLE deliveries DROP COLUMN river_job_id;
DROP INDEX deliveries_pending;
CREATE INDEX deliveries_due ON deliveries (owner, origin, tried, next_attempt_at) WHERE status = 'pending';
CREATE INDEX deliveries_claimed ON deliveries (claimed_by) WHERE claimed_by IS NOT NULL;
DELETE FROM river_job WHERE kind = 'callback';

-- +goose Down

DROP INDEX deliveries_due;
DROP INDEX deliveries_claimed;
ALTER TABLE deliveries DROP COLUMN claimed_by;
ALTER TABLE deliveries DROP COLUMN claims;
ALTER TABLE deliveries DROP COLUMN tried;
ALTER TABLE deliveries ADD COLUMN claimed_until INTEGER;
ALTER TABLE deliveries ADD COLUMN river_job_id INTEGER NOT NULL DEFAULT 0;
CREATE INDEX deliveries_pending ON deliveries (next_attempt_at) WHERE status = 'pending';
