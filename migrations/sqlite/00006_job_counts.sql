-- +goose Up

-- How many jobs ended, by minute and by hour. Each process adds to rows of its own, so
-- that processes do not wait for each other.
CREATE TABLE job_counts (
    owner      TEXT NOT NULL,
    span       INTEGER NOT NULL, -- milliseconds: a minute or an hour
    start_at   INTEGER NOT NULL, -- beginning of the span
    service    TEXT NOT NULL,
    worker_id  TEXT NOT NULL, -- the process that ended the jobs
    succeeded  INTEGER NOT NULL,
    failed     INTEGER NOT NULL,
    canceled   INTEGER NOT NULL,
    expired    INTEGER NOT NULL,
    run_time   INTEGER NOT NULL, -- sum, of the jobs that had started
    -- How many of them ran up to this long, and longer than the column before.
    ran_10ms     INTEGER NOT NULL,
    ran_30ms     INTEGER NOT NULL,
    ran_100ms    INTEGER NOT NULL,
    ran_300ms    INTEGER NOT NULL,
    ran_1s       INTEGER NOT NULL,
    ran_3s       INTEGER NOT NULL,
    ran_10s      INTEGER NOT NULL,
    ran_30s      INTEGER NOT NULL,
    ran_2m       INTEGER NOT NULL,
    ran_10m      INTEGER NOT NULL,
    ran_1h       INTEGER NOT NULL,
    ran_longer   INTEGER NOT NULL,
    PRIMARY KEY (owner, span, start_at, service, worker_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_counts_start ON job_counts (span, start_at);
-- Without the first condition, lists of failed jobs, which are sorted by id, would use this index.
CREATE INDEX jobs_failures ON jobs (finished_at, owner) WHERE finished_at IS NOT NULL AND status IN ('failed', 'expired');

-- +goose Down

DROP INDEX jobs_failures;
DROP TABLE job_counts;
