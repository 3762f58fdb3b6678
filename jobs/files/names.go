package files

import (
	"cmp"
	"fmt"
	"mime"
	"path/filepath"
	"strings"
	"unicode"

	"coatcheck/jobs"
	"coatcheck/jobs/keys"
)

// filePrefix is the prefix of the ids of files that a run has saved.
const filePrefix = "file_"

// newFile returns the description of a new file of a job, without its size and content.
func newFile(jobID, prefix, name, contentType string) (jobs.File, error) {
	id, err := keys.NewID(prefix)
	if err != nil {
		return jobs.File{}, err
	}
	if !keys.ValidID("job_", jobID) {
		return jobs.File{}, fmt.Errorf("save a file: %q is not the id of a job", jobID)
	}
	name = cleanName(name)
	return jobs.File{ID: id, Name: name, ContentType: cmp.Or(contentType, typeOf(name))}, nil
}

func validFileID(id string) bool {
	return keys.ValidID(filePrefix, id) || keys.ValidID(jobs.UploadPrefix, id)
}

// maxName is the maximum length of a file's name in bytes.
const maxName = 200

// cleanName returns the last element of a path, without characters that a header or a file system
// can't have.
func cleanName(name string) string {
	name = filepath.Base(filepath.ToSlash(strings.ReplaceAll(name, `\`, "/")))
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar || r == '/' {
			return '_'
		}
		return r
	}, name)
	if name == "." || name == "" || name == ".." {
		return "file"
	}
	for len(name) > maxName {
		runes := []rune(name)
		name = string(runes[1:]) // keeps the extension
	}
	return name
}

// typeOf returns the media type for a file name.
func typeOf(name string) string {
	if t := mime.TypeByExtension(filepath.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}
