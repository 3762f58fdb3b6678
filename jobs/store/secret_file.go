package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// SecretFile is the name of the file with the server's generated secret in a data directory.
const SecretFile = "secret.key"

// MinSecret is the minimum length of a secret, in bytes.
const MinSecret = 16

// ReadSecret returns the secret in the file secret.key of dir.
func ReadSecret(dir string) ([]byte, error) {
	path := filepath.Join(dir, SecretFile)
	b, err := os.ReadFile(path) //nolint:gosec // the operator chooses the path
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: the keys in the database were created with another secret: restore the file from a backup, or set secret_key or SECRET_KEY if the server runs with that", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read the secret key: %w", err)
	}
	return checkSecret(path, b)
}

// checkSecret returns the secret in the text of a secret.key.
func checkSecret(path string, text []byte) ([]byte, error) {
	secret := strings.TrimSpace(string(text))
	switch {
	case secret == "":
		return nil, fmt.Errorf("%s is empty: restore it from a backup; if the server has never run with this directory, delete the file, and the server creates another", path)
	case len(secret) < MinSecret:
		return nil, fmt.Errorf("%s has only %d characters, want at least %d: restore it from a backup", path,
			len(secret), MinSecret)
	}
	return []byte(secret), nil
}

// OpenSecret is [ReadSecret], but creates the file if it is missing.
func OpenSecret(dir string) ([]byte, error) {
	path := filepath.Join(dir, SecretFile)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return ReadSecret(dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the data directory: %w", err)
	}
	secret := rand.Text()
	if err := writeSecret(path, secret+"\n"); err != nil {
		return nil, fmt.Errorf("create the secret key: %w", err)
	}
	return []byte(secret), SyncDir(dir)
}

// writeSecret writes the file under a temporary name and renames it, so that a crash never leaves
// an incomplete file.
func writeSecret(path, text string) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, privateMode) //nolint:gosec // the operator chooses the path
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
