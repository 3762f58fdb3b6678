-- +goose Up

-- The output of a job may be a file, which its output then describes.
ALTER TABLE jobs ADD COLUMN output_file TEXT; -- id of the file

-- +goose Down

ALTER TABLE jobs DROP COLUMN output_file;
