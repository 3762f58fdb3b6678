package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path/filepath"

	"coatcheck/jobs/files"
)

// filesName is the name of the directory for files in a data directory.
const filesName = "files"

// filesDir returns the directory for the files of jobs; "" if this server has none.
func (c *config) filesDir() string {
	if c.DatabaseURL != "" {
		return c.FilesDir
	}
	return cmp.Or(c.FilesDir, filepath.Join(c.Data, filesName))
}

// A fileStore is what a process of an isolated run needs to store files.
type fileStore struct {
	Dir, Owner string
	Limits     files.Limits
}

// open opens the directory; nil if there is none.
func (s fileStore) open() (*files.Dir, error) {
	if s.Dir == "" {
		return nil, nil
	}
	return files.Open(s.Dir, s.Owner, s.Limits)
}

// argument returns the store as a command-line argument.
func (s fileStore) argument() (string, error) {
	text, err := json.Marshal(s)
	return string(text), err
}

func parseFileStore(argument string) (s fileStore, err error) {
	if argument == "" {
		return s, nil
	}
	if err := json.Unmarshal([]byte(argument), &s); err != nil {
		return s, fmt.Errorf("read --files: %w", err)
	}
	return s, nil
}
