package api

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
	"time"

	"coatcheck/jobs"
	"coatcheck/notify"
)

const (
	// loadTimeout is how long a stream waits for the database.
	loadTimeout = 5 * time.Second
	// maxBuffered is how many bytes of events a stream buffers before it
	// flushes them.
	maxBuffered = 64 << 10
	// aheadTimeout is how long a cursor may be ahead of the newest event that
	// the server has, before the client gets a snapshot.
	aheadTimeout = time.Second
)

// A streamCursor is the client's position in the events of a job.
type streamCursor struct {
	id         string
	ref        string    // id or token in the request
	at         notify.ID // newest event that the client has
	resume     bool      // whether the client sent a Last-Event-ID
	sub        *notify.Subscription
	ended      bool      // the client has the end event
	aheadUntil time.Time // when a cursor ahead of the server gets a snapshot; zero if it is not ahead
}

// resumeOrSnapshot resumes the events after the client's position, or writes a
// snapshot if that is not possible.
func (s *stream) resumeOrSnapshot(ctx context.Context, c *streamCursor, job *jobs.Job) error {
	newest := job.EventID()
	switch {
	case c.resume && c.sub.Resume(c.at):
		s.api.Hub.Behind(c.id, newest) // the log may have lost the latest event
		return nil
	case c.resume && c.at == newest:
		c.sub.Follow(newest) // no event was missed; any loss after this one shows as a gap
		return nil
	case c.resume && c.at.Compare(newest) < 0 && c.sub.UpToDate(c.at):
		// The events in the table are about to be published. If they are lost
		// instead, a snapshot follows.
		c.sub.Follow(c.at)
		s.api.Hub.Behind(c.id, newest)
		return nil
	case c.resume && c.at.Version == newest.Version && c.sub.Ahead(c.at):
		// The client comes from another server, and the events that this server
		// lacks are about to arrive. Or the log was lost, and the table is
		// behind the events that a run has published.
		c.sub.Follow(c.at)
		c.aheadUntil = time.Now().Add(aheadTimeout)
		return nil
	case c.at.Version > newest.Version:
		c.at = notify.ID{} // no such event ever existed
	}
	return s.writeSnapshot(ctx, c, job, c.resume)
}

// resolveAhead writes a snapshot if the client's position is still newer than
// any known event. It reports whether it did.
func (s *stream) resolveAhead(ctx context.Context, c *streamCursor) (sent bool, err error) {
	c.aheadUntil = time.Time{}
	if !c.sub.Ahead(c.at) {
		return false, nil
	}
	job, err := s.loadVisibleJob(ctx, c)
	if err != nil {
		return false, err
	}
	c.sub.Reset()
	s.wake() // to write the events after the snapshot
	return true, s.writeSnapshot(ctx, c, &job, true)
}

// writeEvents writes the new events of a job, and reports whether there were
// any.
func (s *stream) writeEvents(ctx context.Context, c *streamCursor) (wrote bool, err error) {
	if !c.aheadUntil.IsZero() && !time.Now().Before(c.aheadUntil) {
		if wrote, err = s.resolveAhead(ctx, c); wrote || err != nil {
			return wrote, err
		}
	}
	events, gap, err := c.sub.Take()
	if errors.Is(err, notify.ErrClosed) {
		return false, s.endWithRetry()
	}
	if gap {
		job, err := s.loadVisibleJob(ctx, c)
		if err != nil {
			return true, err
		}
		s.wake() // to write the events after the snapshot
		return true, s.writeSnapshot(ctx, c, &job, true)
	}
	for _, e := range events {
		if e.Name != "end" {
			err = s.appendEvent(c, e.Name, e.ID, e.Data)
		} else if job, loadErr := s.loadVisibleJob(ctx, c); loadErr != nil {
			return true, loadErr
		} else if job.Done { // otherwise the job was retried since, which the next events show
			return true, s.writeEnd(ctx, c, &job)
		}
		if err == nil && len(s.writer.buf) > maxBuffered {
			err = s.writer.flush()
		}
		if err != nil {
			return true, err
		}
	}
	return len(events) > 0, nil
}

// loadVisibleJob reads a job as the client may see it.
func (s *stream) loadVisibleJob(ctx context.Context, c *streamCursor) (jobs.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	job, err := s.api.Queue.Get(ctx, c.id)
	if err != nil {
		return jobs.Job{}, fmt.Errorf("read job: %w", err)
	}
	return s.info.visibleJob(c.ref, job), nil
}

// writeSnapshot writes the current job in place of the events before it. If the
// job has ended, writeSnapshot also writes the end event, and only that event
// has an id: a client that disconnects between the two receives the end event
// after it reconnects. A snapshot is truncated if it replaces events that the
// client has missed, such as log lines.
func (s *stream) writeSnapshot(ctx context.Context, c *streamCursor, job *jobs.Job, truncated bool) error {
	id := c.sub.Start(job.EventID())
	if !job.Done {
		return s.writeJobEvent(ctx, c, "snapshot", id, job, truncated)
	}
	if err := s.writeJobEvent(ctx, c, "snapshot", notify.ID{}, job, truncated); err != nil {
		return err
	}
	return s.writeEnd(ctx, c, job)
}

// writeEnd writes the job's last event.
func (s *stream) writeEnd(ctx context.Context, c *streamCursor, job *jobs.Job) error {
	c.ended = true
	return s.writeJobEvent(ctx, c, "end", job.EventID(), job, false)
}

func (s *stream) writeJobEvent(
	ctx context.Context, c *streamCursor, name string, id notify.ID, job *jobs.Job, truncated bool,
) error {
	complete := *job
	release, err := s.api.acquireOutput(ctx, s.info, &complete)
	if err != nil {
		return fmt.Errorf("read the output: %w", err)
	}
	if release != nil {
		defer release()
	}
	rendered, err := renderJob(&complete)
	if err != nil {
		return err
	}
	data := slices.Concat([]byte(`{"type":"`+name+`","job":`), rendered)
	if truncated {
		data = append(data, `,"truncated":true`...)
	}
	data = append(data, '}')
	if err := s.appendEvent(c, name, id, data); err != nil || release == nil {
		return err
	}
	return s.writer.flush()
}

// appendEvent adds an event of a job to the buffer.
func (s *stream) appendEvent(c *streamCursor, name string, id notify.ID, data []byte) error {
	text := "" // events that are not newer than the client's position have no id
	if id.Compare(c.at) > 0 {
		c.at = id
		text = s.position(c)
	} else if s.multi && id.IsZero() { // the snapshot of a job that has ended does not change the position
		text = s.position(c)
	}
	if s.multi {
		data = append([]byte(`{"job_id":"`+c.id+`",`), data[1:]...) // data is an object and never empty
	}
	return s.writer.appendEvent(name, text, data)
}

// position returns the event id from which the client can resume. For a stream
// of one job, it is the id of the event. For several jobs, it is a checksum of
// the job ids, followed by the client's position in each job, as in
// "1885230371.4-7..5-0".
func (s *stream) position(c *streamCursor) string {
	if !s.multi {
		return c.at.String()
	}
	b := strconv.AppendUint(nil, uint64(checksum(s.cursors)), 10)
	for _, c := range s.cursors {
		b = append(b, '.')
		if !c.at.IsZero() {
			b = append(b, c.at.String()...)
		}
	}
	return string(b)
}

// restoreCursors sets the cursors from the position that the client resumes
// from. A position that is malformed or belongs to other jobs is ignored: the
// client gets snapshots, not an error.
func (s *stream) restoreCursors(position string) {
	parts := []string{position}
	if s.multi {
		sum, rest, _ := strings.Cut(position, ".")
		if parts = strings.Split(rest, "."); sum != strconv.FormatUint(uint64(checksum(s.cursors)), 10) ||
			len(parts) != len(s.cursors) {
			return
		}
	}
	for i, c := range s.cursors {
		if id, err := notify.ParseID(parts[i]); err == nil && !id.IsZero() {
			c.at, c.resume = id, true
		}
	}
}

// checksum identifies a list of jobs.
func checksum(cursors []*streamCursor) uint32 {
	sum := crc32.NewIEEE()
	for _, c := range cursors {
		sum.Write([]byte(c.id))
	}
	return sum.Sum32()
}
