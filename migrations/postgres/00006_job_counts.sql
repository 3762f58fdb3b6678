-- +goose Up

-- How many jobs ended, by minute and by hour. Each process adds to rows of its own, so
-- that processes do not wait for each other.
CREATE TABLE job_counts (
    owner      TEXT NOT NULL,
    span       BIGINT NOT NULL, -- milliseconds: a minute or an hour
    start_at   BIGINT NOT NULL, -- beginning of the span
    service    TEXT NOT NULL,
    worker_id  TEXT NOT NULL, -- the process that ended the jobs
    succeeded  BIGINT NOT NULL,
    failed     BIGINT NOT NULL,
    canceled   BIGINT NOT NULL,
    expired    BIGINT NOT NULL,
    run_time   BIGINT NOT NULL, -- sum, of the jobs that had started
    -- How many of them ran up to this long, and longer than the column before.
    ran_10ms     BIGINT NOT NULL,
    ran_30ms     BIGINT NOT NULL,
    ran_100ms    BIGINT NOT NULL,
    ran_300ms    BIGINT NOT NULL,
    ran_1s       BIGINT NOT NULL,
    ran_3s       BIGINT NOT NULL,
    ran_10s      BIGINT NOT NULL,
    ran_30s      BIGINT NOT NULL,
    ran_2m       BIGINT NOT NULL,
    ran_10m      BIGINT NOT NULL,
    ran_1h       BIGINT NOT NULL,
    ran_longer   BIGINT NOT NULL,
    PRIMARY KEY (owner, span, start_at, service, worker_id)
);

CREATE INDEX job_counts_start ON job_counts (span, start_at);
-- Without the first condition, lists of failed jobs, which are sorted by id, would use this index.
CREATE INDEX jobs_failures ON jobs (finished_at, owner) WHERE finished_at IS NOT NULL AND status IN ('failed', 'expired');

-- +goose Down

DROP INDEX jobs_failures;
DROP TABLE job_counts;
