package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"coatcheck/jobs"
	"coatcheck/notify"
)

// fetchFiles downloads the files of an input that are URLs, as files of the run, and returns the
// input with their ids in place of the URLs.
func (q *Queue) fetchFiles(ctx context.Context, r *run, service string, input json.RawMessage) (json.RawMessage, error) {
	if q.FileProperties == nil {
		return input, nil
	}
	properties := q.FileProperties(service)
	if len(properties) == 0 {
		return input, nil
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(input, &values); err != nil {
		return nil, errors.Join(err, jobs.ErrPermanent)
	}
	changed := false
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		value, fetched, err := q.fetchValue(ctx, r, values[name])
		if err != nil {
			return nil, fmt.Errorf("input.%s: %w", name, err)
		}
		if fetched {
			values[name], changed = value, true
		}
	}
	if !changed {
		return input, nil
	}
	return json.Marshal(values)
}

// fillFile returns the input of a further step with the id of the previous step's file in place of
// its description, where the service wants a file.
func (q *Queue) fillFile(r *run, service string, input json.RawMessage) (json.RawMessage, error) {
	file, ok := r.job.StepFile()
	if !ok || q.FileProperties == nil {
		return input, nil
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(input, &values); err != nil {
		return nil, err
	}
	for name, isList := range q.FileProperties(service) {
		var list []json.RawMessage
		if !isList {
			values[name] = r.refer(values[name], &file)
		} else if json.Unmarshal(values[name], &list) == nil {
			for i := range list {
				list[i] = r.refer(list[i], &file)
			}
			text, err := json.Marshal(list)
			if err != nil {
				return nil, err
			}
			values[name] = text
		}
	}
	maps.DeleteFunc(values, func(_ string, value json.RawMessage) bool { return value == nil })
	return json.Marshal(values)
}

// refer returns the id of the file if the value describes it, or else the value.
func (r *run) refer(value json.RawMessage, file *jobs.File) json.RawMessage {
	var described jobs.File
	if json.Unmarshal(value, &described) != nil || described.SHA256 != file.SHA256 {
		return value
	}
	r.fetched[file.ID] = *file
	return json.RawMessage(`"` + file.ID + `"`)
}

// deleteRunFiles deletes the files that the job does not need after a run.
func (q *Queue) deleteRunFiles(ctx context.Context, r *run, job *jobs.Job) {
	if r.files == nil {
		return
	}
	ctx = context.WithoutCancel(ctx) // the run may have been canceled
	keep := job.OutputFile
	if next, ok := job.StepFile(); ok && !job.Done {
		keep = next.ID
	}
	err := r.files.DeleteExcept(ctx, job.ID, keep)
	if used, ok := r.job.StepFile(); ok && used.ID != keep { // no step needs it any more
		err = errors.Join(err, q.Files.Delete(ctx, job.ID, used.ID))
	}
	if err != nil {
		q.logFiles(ctx, job.ID, err)
	}
}

// fetchValue downloads the file or the files of a property. fetched is false if there are none.
func (q *Queue) fetchValue(ctx context.Context, r *run, value json.RawMessage) (_ json.RawMessage, fetched bool, err error) {
	list, isOne := refsOf(value)
	for i, ref := range list {
		if !IsURL(ref) {
			continue
		}
		if list[i], err = q.fetchFile(ctx, r, ref); err != nil {
			return nil, false, err
		}
		fetched = true
	}
	if isOne {
		value, err = json.Marshal(list[0])
	} else if fetched {
		value, err = json.Marshal(list)
	}
	return value, fetched, err
}

// refsOf returns the strings that stand for the file or the files of a property; nil if it is absent.
func refsOf(value json.RawMessage) (list []string, isOne bool) {
	var one string
	if isOne = json.Unmarshal(value, &one) == nil; isOne {
		return []string{one}, true
	}
	_ = json.Unmarshal(value, &list) // the schema allows nothing else
	return list, false
}

// IsURL reports whether a string that stands for a file is the URL of one.
func IsURL(ref string) bool {
	return strings.HasPrefix(ref, "https://") || strings.HasPrefix(ref, "http://")
}

// fetchFile downloads a file and returns its id.
func (q *Queue) fetchFile(ctx context.Context, r *run, rawURL string) (id string, err error) {
	if r.files == nil || q.Sender == nil {
		return "", errors.Join(jobs.ErrNoFiles, jobs.ErrPermanent)
	}
	host := rawURL
	if u, err := url.Parse(rawURL); err == nil {
		host = u.Host // the rest may be secret
	}
	r.Log("info", "downloading a file from "+host)
	download, err := q.Sender.Fetch(ctx, rawURL)
	if err != nil {
		return "", fetchError(host, err)
	}
	defer download.Close()
	file, err := r.files.Save(ctx, r.job.ID, download.Name, download.ContentType, download)
	if err != nil {
		return "", fmt.Errorf("download a file from %s: %w", host, err)
	}
	r.fetched[file.ID] = file
	return file.ID, nil
}

// fetchError returns the error of a run whose file could not be downloaded.
func fetchError(host string, err error) error {
	wrapped := fmt.Errorf("download a file from %s: %w", host, err)
	if e, ok := errors.AsType[*notify.FetchError](err); ok && e.Final {
		return errors.Join(wrapped, jobs.ErrPermanent)
	} else if ok && e.RetryAfter > 0 {
		return errors.Join(wrapped, jobs.RetryAfter(e.RetryAfter))
	}
	return wrapped
}
