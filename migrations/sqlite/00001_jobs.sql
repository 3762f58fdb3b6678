-- +goose Up

-- Times and durations are milliseconds, times since 1970 in UTC; what is
-- JSON is kept as the text that came. No foreign key and no trigger touches
-- River's tables: its migrations rebuild them.
CREATE TABLE jobs (
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
    steps               TEXT NOT NULL, -- the chain: [{service, input, output, finished_at}]
    history             TEXT NOT NULL DEFAULT '[]', -- the newest attempts: [{number, step, worker_id, started_at, finished_at, status, error}]
    output              TEXT,
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
    log_lines           INTEGER NOT NULL DEFAULT 0 -- how many lines its services have said
) STRICT, WITHOUT ROWID;

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

-- The processes that run jobs. Whose heart stops has its jobs taken away.
CREATE TABLE workers (
    id          TEXT PRIMARY KEY,
    host        TEXT NOT NULL,
    concurrency INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    beat_at     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE job_tags (
    owner  TEXT NOT NULL,
    tag    TEXT NOT NULL,
    job_id TEXT NOT NULL,
    PRIMARY KEY (tag, owner, job_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX job_tags_job ON job_tags (job_id);

-- What services say, some lines a row, the newest of a job.
CREATE TABLE job_logs (
    job_id TEXT NOT NULL,
    line   INTEGER NOT NULL, -- the number of the first
    lines  TEXT NOT NULL, -- each ends with a newline
    PRIMARY KEY (job_id, line)
) STRICT, WITHOUT ROWID;

-- Jobs whose record is gone: they answer 410 for a while, then 404.
CREATE TABLE removed_jobs (
    id         TEXT PRIMARY KEY,
    owner      TEXT NOT NULL,
    removed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX removed_jobs_age ON removed_jobs (removed_at);

CREATE TABLE idempotency_keys (
    owner       TEXT NOT NULL,
    service     TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    job_id      TEXT NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (owner, service, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX idempotency_keys_job ON idempotency_keys (job_id);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

CREATE TABLE deliveries (
    id               TEXT PRIMARY KEY, -- the webhook-id
    job_id           TEXT NOT NULL,
    owner            TEXT NOT NULL,
    event            TEXT NOT NULL,
    url              TEXT NOT NULL,
    origin           TEXT NOT NULL, -- of url: what is held back together
    body             BLOB NOT NULL, -- sent as it stands on every attempt
    status           TEXT NOT NULL CHECK (status IN ('pending', 'delivered', 'failed')),
    attempts         INTEGER NOT NULL DEFAULT 0,
    scheduled_from   INTEGER NOT NULL DEFAULT 0, -- attempts before it was last sent again by hand
    last_status_code INTEGER,
    last_error       TEXT NOT NULL DEFAULT '',
    next_attempt_at  INTEGER,
    claimed_until    INTEGER, -- progress that is being sent: what comes after it waits
    river_job_id     INTEGER NOT NULL,
    created_at       INTEGER NOT NULL,
    finished_at      INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_job ON deliveries (job_id, id);
CREATE INDEX deliveries_pending ON deliveries (next_attempt_at) WHERE status = 'pending';
CREATE INDEX deliveries_owner ON deliveries (owner, status, id);

-- Every attempt at a delivery that reached, or tried to reach, the receiver.
CREATE TABLE delivery_attempts (
    delivery_id TEXT NOT NULL,
    number      INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    status_code INTEGER,
    code        TEXT NOT NULL, -- such as ok, http_500, timeout
    message     TEXT NOT NULL,
    response    TEXT NOT NULL, -- the beginning of the answer
    timing      TEXT NOT NULL, -- JSON, milliseconds
    headers     TEXT NOT NULL DEFAULT '{}', -- JSON, of the request and of the answer
    PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;

-- Receivers that are held back, for one owner each: who harms a receiver
-- harms nobody else's callbacks to it.
CREATE TABLE destinations (
    owner      TEXT NOT NULL,
    origin     TEXT NOT NULL,
    failures   INTEGER NOT NULL DEFAULT 0, -- in a row
    trips      INTEGER NOT NULL DEFAULT 0, -- how often it was held back in a row
    allowed    INTEGER NOT NULL,           -- how many attempts may be under way
    held_until INTEGER NOT NULL DEFAULT 0,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (owner, origin)
) STRICT, WITHOUT ROWID;

CREATE INDEX destinations_updated ON destinations (updated_at);

-- The server's own secrets and the users' signing keys.
CREATE TABLE keys (
    id         TEXT PRIMARY KEY,
    owner      TEXT NOT NULL, -- '' for the server's
    kind       TEXT NOT NULL, -- token: MAC of tokens and cursors; v1, v1a: signing of callbacks
    secret     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX keys_owner ON keys (owner, kind);

-- The browsers that are signed in.
CREATE TABLE sessions (
    id         TEXT PRIMARY KEY, -- SHA-256 of what the cookie has
    owner      TEXT NOT NULL,
    credential TEXT NOT NULL, -- what was signed in with: a change of it ends the session
    rotated_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_expiring ON sessions (expires_at);

-- The page's test receivers, one for each user, and the callbacks they got.
CREATE TABLE receivers (
    id      TEXT PRIMARY KEY, -- in their URL
    owner   TEXT NOT NULL UNIQUE,
    answer  TEXT NOT NULL, -- how the next callback is answered
    damage  TEXT NOT NULL, -- what is done to it on its way
    used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE received (
    receiver_id TEXT NOT NULL,
    id          TEXT NOT NULL, -- sorts by time
    at          INTEGER NOT NULL,
    headers     TEXT NOT NULL, -- JSON
    body        BLOB NOT NULL,
    verdict     TEXT NOT NULL, -- why the signature is wrong, '' when it is right
    status_code INTEGER NOT NULL, -- what was answered; 0 for nothing
    PRIMARY KEY (receiver_id, id)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE received;
DROP TABLE receivers;
DROP TABLE sessions;
DROP TABLE keys;
DROP TABLE destinations;
DROP TABLE delivery_attempts;
DROP TABLE deliveries;
DROP TABLE idempotency_keys;
DROP TABLE removed_jobs;
DROP TABLE job_logs;
DROP TABLE job_tags;
DROP TABLE workers;
DROP TABLE jobs;
