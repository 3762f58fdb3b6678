-- +goose Up

-- Lists need the number of steps without the steps. SQLite reads a row up to the
-- last column that a query needs, so the large columns come last.
CREATE TABLE jobs_new (
    id                  TEXT PRIMARY KEY,
    owner               TEXT NOT NULL,
    service             TEXT NOT NULL,
    status              TEXT NOT NULL CHECK (status IN ('scheduled', 'queued', 'running', 'retrying', 'succeeded', 'failed', 'canceled', 'expired')),
    version             INTEGER NOT NULL, -- grows with every change of status
    events              INTEGER NOT NULL DEFAULT 0, -- the newest event of this version
    priority            INTEGER NOT NULL,
    attempt             INTEGER NOT NULL DEFAULT 0,
    max_attempts        INTEGER NOT NULL,
    timeout             INTEGER NOT NULL,
    step                INTEGER NOT NULL DEFAULT 1,
    step_count          INTEGER NOT NULL DEFAULT 1, -- the length of steps
    error               TEXT,
    progress            TEXT NOT NULL,
    tags                TEXT NOT NULL,
    metadata            TEXT,
    created_at          INTEGER NOT NULL,
    run_at              INTEGER, -- not before
    started_at          INTEGER,
    finished_at         INTEGER,
    expires_at          INTEGER, -- if not started
    retain              INTEGER NOT NULL,
    remove_at           INTEGER,
    cancel_requested_at INTEGER,
    cancel_reason       TEXT NOT NULL DEFAULT '',
    run_id              TEXT, -- the fence: who holds it may write
    worker_id           TEXT,
    river_job_id        INTEGER NOT NULL, -- 0 while River need not know of the job
    recoveries          INTEGER NOT NULL DEFAULT 0,
    callback_url        TEXT NOT NULL DEFAULT '',
    callback_events     TEXT NOT NULL DEFAULT '[]',
    callback_state      TEXT NOT NULL DEFAULT '',
    callback_sequence   INTEGER NOT NULL DEFAULT 0, -- of the newest callback
    callback            TEXT, -- the newest delivery, for the job object
    base_url            TEXT NOT NULL,
    retry_of            TEXT NOT NULL DEFAULT '', -- the job that this one runs again
    log_lines           INTEGER NOT NULL DEFAULT 0, -- how many lines its services have said
    steps               TEXT NOT NULL, -- the chain: [{service, input, output, finished_at}]
    history             TEXT NOT NULL DEFAULT '[]', -- the newest attempts: [{number, step, worker_id, started_at, finished_at, status, error}]
    output              TEXT
) STRICT, WITHOUT ROWID;

INSERT INTO jobs_new (step_count, id, owner, service, status, version, events, priority, attempt, max_attempts, timeout, step, error, progress, tags, metadata, created_at, run_at, started_at, finished_at, expires_at, retain, remove_at, cancel_requested_at, cancel_reason, run_id, worker_id, river_job_id, recoveries, callback_url, callback_events, callback_state, callback_sequence, callback, base_url, retry_of, log_lines, steps, history, output)
SELECT json_array_length(steps), id, owner, service, status, version, events, priority, attempt, max_attempts, timeout, step, error, progress, tags, metadata, created_at, run_at, started_at, finished_at, expires_at, retain, remove_at, cancel_requested_at, cancel_reason, run_id, worker_id, river_job_id, recoveries, callback_url, callback_events, callback_state, callback_sequence, callback, base_url, retry_of, log_lines, steps, history, output FROM jobs;
DROP TABLE jobs;
ALTER TABLE jobs_new RENAME TO jobs;

CREATE INDEX jobs_owner ON jobs (owner, id);
CREATE INDEX jobs_owner_service ON jobs (owner, service, id);
CREATE INDEX jobs_owner_status ON jobs (owner, status, id);
CREATE INDEX jobs_status ON jobs (status, id);
CREATE INDEX jobs_due ON jobs (run_at) WHERE status IN ('scheduled', 'retrying');
CREATE INDEX jobs_expiring ON jobs (expires_at) WHERE status IN ('scheduled', 'queued') AND expires_at IS NOT NULL;
CREATE INDEX jobs_removable ON jobs (remove_at) WHERE remove_at IS NOT NULL;
CREATE INDEX jobs_running ON jobs (worker_id) WHERE status = 'running';
CREATE INDEX jobs_retries ON jobs (retry_of) WHERE retry_of <> '';
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;

-- +goose Down

ALTER TABLE jobs DROP COLUMN step_count;
