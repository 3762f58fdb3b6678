package spec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"coatcheck/jobs"
)

// formatFile is the format of a string that stands for a file.
const formatFile = "binary"

func (p property) isFile() bool { return p.Type == "string" && p.Format == formatFile }

// IsFile reports whether a property is a file or a list of files.
func (s *Schema) IsFile(name string) bool {
	p := s.properties[name]
	return p.isFile() || p.Type == "array" && p.Items != nil && p.Items.isFile()
}

// IsList reports whether a property is a list.
func (s *Schema) IsList(name string) bool { return s.properties[name].Type == "array" }

// Files returns the properties that are files or lists of files, sorted.
func (s *Schema) Files() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(s.properties)), func(name string) bool { return !s.IsFile(name) })
}

// Refs returns the files that a property stands for, to be opened with [jobs.OpenFile].
func (v Values) Refs(name string) ([]string, error) {
	var refs []string
	text := v[name]
	if len(text) == 0 || string(text) == "null" {
		return nil, nil
	}
	if text[0] != '[' {
		text = slices.Concat([]byte("["), text, []byte("]"))
	}
	if err := json.Unmarshal(text, &refs); err != nil {
		return nil, fmt.Errorf("%s: expected files: %w", name, err)
	}
	return refs, nil
}

// CopyFiles copies the files of an input below a directory, and replaces them in the values by their
// paths: DIRECTORY/PROPERTY/NAME, in a list DIRECTORY/PROPERTY/NUMBER/NAME.
func (s *Schema) CopyFiles(ctx context.Context, values Values, dir string) error {
	for _, name := range s.Files() {
		refs, err := values.Refs(name)
		if err != nil {
			return err
		}
		list := s.properties[name].Type == "array"
		paths := []string{}
		for i, ref := range refs {
			to := filepath.Join(dir, name)
			if list {
				to = filepath.Join(to, strconv.Itoa(i+1))
			}
			path, err := copyFile(ctx, ref, to)
			if err != nil {
				if e, ok := errors.AsType[*fs.PathError](err); ok {
					err = e.Err // callers see no path of this machine
				}
				return fmt.Errorf("copy the file %s of the input: %w", name, err)
			}
			paths = append(paths, path)
		}
		switch {
		case list && len(values[name]) > 0:
			values[name], err = json.Marshal(paths)
		case len(paths) == 1:
			values[name], err = json.Marshal(paths[0])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies a file of the input into a new directory and returns its path.
func copyFile(ctx context.Context, ref, dir string) (path string, err error) {
	in, err := jobs.OpenFile(ctx, ref)
	if err != nil {
		return "", err
	}
	defer in.Close()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	path = filepath.Join(dir, in.Name)
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the name is the last element of a path
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, in.ReadCloser) // the system copies, where both are files of one
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return path, err
}
