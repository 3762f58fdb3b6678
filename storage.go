package main

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"strings"

	"coatcheck/jobs/files"
	"coatcheck/jobs/keys"
	"coatcheck/jobs/store"
	"coatcheck/migrations"
)

// openDatabase opens the configured database.
func openDatabase(ctx context.Context, c *config) (*store.DB, error) {
	if c.DatabaseURL != "" {
		return store.OpenPostgres(ctx, c.DatabaseURL, 20)
	}
	return store.OpenSQLite(ctx, c.Data)
}

// openKeys reads the keys in the database. With createSecret, it creates the secret
// that encrypts them if the database has no keys yet. If it has keys, only the
// existing secret can decrypt them.
func openKeys(ctx context.Context, c *config, db *store.DB, createSecret bool) (*keys.Keyring, error) {
	secret := []byte(c.SecretKey)
	if c.SecretKey == "" && c.DatabaseURL != "" {
		return nil, &usageError{errors.New("set secret_key or SECRET_KEY to random characters, such as the output of `openssl rand -base64 32`, and to the same in all processes: it encrypts the keys in the database")}
	}
	if c.SecretKey == "" {
		var err error
		if secret, err = readSecret(ctx, c.Data, db, createSecret); err != nil {
			return nil, err
		}
	}
	return keys.Open(ctx, db, secret)
}

func readSecret(ctx context.Context, dir string, db *store.DB, create bool) ([]byte, error) {
	if create {
		has, err := keys.Exist(ctx, db)
		if err != nil {
			return nil, err
		}
		if !has {
			return store.OpenSecret(dir)
		}
	}
	return store.ReadSecret(dir)
}

// prepare migrates the database, or returns an error if its schema is not up to date
// and migrations are disabled.
func prepare(ctx context.Context, c *config, db *store.DB) error {
	m, err := migrations.New(db.Write, db.Postgres())
	if err != nil {
		return err
	}
	if c.Migrate {
		return m.Up(ctx)
	}
	return m.Check(ctx)
}

// filesName is the name of the directory for files in a data directory.
const filesName = "files"

// storesFiles reports whether this server has a place for the files of jobs.
func (c *config) storesFiles() bool { return c.FilesS3.Bucket != "" || c.filesDir() != "" }

// filesDir returns the directory for the files of jobs; "" if this server has none.
func (c *config) filesDir() string {
	if c.DatabaseURL != "" || c.FilesS3.Bucket != "" {
		return c.FilesDir
	}
	return cmp.Or(c.FilesDir, filepath.Join(c.Data, filesName))
}

// openFileStore opens the store for the files of jobs; nil if this server has none.
func openFileStore(ctx context.Context, c *config, keyring *keys.Keyring) (files.Store, error) {
	if c.FilesS3.Bucket != "" {
		return files.OpenS3(ctx, c.FilesS3, keyring.Fingerprint(), c.FileLimits)
	}
	if dir := c.filesDir(); dir != "" {
		return files.Open(dir, keyring.Fingerprint(), c.FileLimits)
	}
	return nil, nil
}

// checkS3 returns the errors of files.s3. The keys may be in the environment for other programs.
func (c *config) checkS3() (errs []error) {
	if c.FilesS3.Bucket == "" {
		if c.FilesS3.Endpoint != "" {
			errs = append(errs, errors.New("files.s3: bucket is missing"))
		}
		return errs
	}
	if c.FilesDir != "" {
		errs = append(errs, errors.New("files: expected dir or s3, not both"))
	}
	oneKey := (c.FilesS3.AccessKey == "") != (c.FilesS3.SecretKey == "")
	if oneKey || c.FilesS3.AccessKey == "" && !isAWS(c.FilesS3.Endpoint) {
		errs = append(errs, errors.New(
			"files.s3: set access_key and secret_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"))
	}
	return errs
}

// isAWS reports whether an endpoint is one of AWS, where a role can replace the keys.
func isAWS(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return endpoint == "" || err == nil && strings.HasSuffix(strings.TrimSuffix(u.Hostname(), ".cn"), ".amazonaws.com")
}
