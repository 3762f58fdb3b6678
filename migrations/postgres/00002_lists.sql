-- +goose Up

-- Lists need the number of steps without the steps, which can be large.
ALTER TABLE jobs ADD COLUMN step_count INTEGER NOT NULL DEFAULT 1; -- the length of steps
UPDATE jobs SET step_count = json_array_length(CAST(steps AS json)) WHERE json_array_length(CAST(steps AS json)) > 1;

-- +goose Down

ALTER TABLE jobs DROP COLUMN step_count;
