-- +goose Up

-- An idempotency key is kept as long as the record of its job, and a day longer.
ALTER TABLE idempotency_keys ADD COLUMN forget_at BIGINT; -- NULL while the record is kept
CREATE INDEX idempotency_keys_forgotten ON idempotency_keys (forget_at) WHERE forget_at IS NOT NULL;
DROP INDEX idempotency_keys_age;

-- +goose Down

CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
DROP INDEX idempotency_keys_forgotten;
ALTER TABLE idempotency_keys DROP COLUMN forget_at;
