-- +goose Up

-- The beginning of the input, by which people tell jobs apart in a list.
ALTER TABLE jobs ADD COLUMN digest TEXT NOT NULL DEFAULT '';

-- +goose Down

ALTER TABLE jobs DROP COLUMN digest;
