package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"coatcheck/jobs"
	"coatcheck/services/spec"
)

// inputDir is the directory below the working directory that has the files of the input.
const inputDir = "input"

// prepare copies the files of the input below the working directory, replaces them in the values by
// their paths, and returns the program and its arguments.
func (c *Command) prepare(ctx context.Context, values spec.Values, dir string) ([]string, error) {
	if err := c.Schema.CopyFiles(ctx, values, filepath.Join(dir, inputDir)); err != nil {
		return nil, err
	}
	arguments, err := c.fill(values)
	if err != nil {
		return nil, errors.Join(err, jobs.ErrPermanent)
	}
	return arguments, nil
}

// saveFile stores the file that the program has written as the output of the job.
func (c *Command) saveFile(ctx context.Context, dir string) (jobs.File, error) {
	root, err := os.OpenRoot(dir) // no link of the program's leads out of it
	if err != nil {
		return jobs.File{}, fmt.Errorf("open the working directory: %w", err)
	}
	defer root.Close()
	switch info, err := root.Lstat(c.file); {
	case errors.Is(err, fs.ErrNotExist):
		return jobs.File{}, fmt.Errorf("the program succeeded but wrote no file %s into its working directory: %w",
			c.file, jobs.ErrPermanent)
	case err != nil:
		return jobs.File{}, fmt.Errorf("read the program's file: %w", err)
	case !info.Mode().IsRegular(): // opening a pipe could take forever
		return jobs.File{}, fmt.Errorf("the program's %s is not a regular file: %w", c.file, jobs.ErrPermanent)
	}
	f, err := root.Open(c.file)
	if err != nil {
		return jobs.File{}, fmt.Errorf("read the program's file: %w", err)
	}
	defer f.Close()
	return jobs.SaveFile(ctx, c.file, c.fileType, f)
}
