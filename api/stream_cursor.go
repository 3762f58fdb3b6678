package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"coatcheck/jobs"
	"coatcheck/notify"
)

const (
	// loadTimeout is how long a stream waits for the database.
	loadTimeout = 5 * time.Second
	// mostUnsent is what a stream gathers before it sends it.
	maxBuffered = 64 << 10
	// doubtTime is how long a viewer is believed that it has seen more than
	// the server knows of.
	aheadTimeout = time.Second
)

// A place is how far a viewer is in the events of a job.
type streamCursor struct {
	id         string
	ref        string    // how the viewer named the job
	at         notify.ID // the newest event that the viewer has
	resume     bool      // whether it said so
	sub        *notify.Subscription
	ended      bool      // the viewer has the job's end
	aheadUntil time.Time // when at must have turned out to be true; zero if it has
}

// place begins where the viewer is in the events of the job, or with a
// snapshot.
func (s *stream) resumeOrSnapshot(ctx context.Context, c *streamCursor, job *jobs.Job) error {
	newest := job.EventID()
	switch {
	case c.resume && c.sub.Resume(c.at):
		s.api.Hub.Behind(c.id, newest) // the log may have lost the last word
		return nil
	case c.resume && c.at == newest:
		c.sub.Follow(newest) // nothing has happened since, or a gap shows
		return nil
	case c.resume && c.at.Compare(newest) < 0 && c.sub.UpToDate(c.at):
		// What the table has already is about to be published, or was lost;
		// then a snapshot follows.
		c.sub.Follow(c.at)
		s.api.Hub.Behind(c.id, newest)
		return nil
	case c.resume && c.at.Version == newest.Version && c.sub.Ahead(c.at):
		// It was on another server, and what this one lacks is on its way; or
		// the log was lost, and the table is behind what a run says.
		c.sub.Follow(c.at)
		c.aheadUntil = time.Now().Add(aheadTimeout)
		return nil
	case c.at.Version > newest.Version:
		c.at = notify.ID{} // never was
	}
	return s.writeSnapshot(ctx, c, job, c.resume)
}

// settle sends a snapshot to a viewer who claims to have seen what seems not
// to be.
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
	s.wake() // to take what follows
	return true, s.writeSnapshot(ctx, c, &job, true)
}

// take writes the newest events of a job, and reports whether there were any.
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
		s.wake() // to take what follows
		return true, s.writeSnapshot(ctx, c, &job, true)
	}
	for _, e := range events {
		if e.Name != "end" {
			err = s.appendEvent(c, e.Name, e.ID, e.Data)
		} else if job, loadErr := s.loadVisibleJob(ctx, c); loadErr != nil {
			return true, loadErr
		} else if job.Done { // else it was retried since; what follows says so
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

// load reads a job as the viewer may see it.
func (s *stream) loadVisibleJob(ctx context.Context, c *streamCursor) (jobs.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	job, err := s.api.Queue.Get(ctx, c.id)
	if err != nil {
		return jobs.Job{}, fmt.Errorf("read job: %w", err)
	}
	return s.info.visibleJob(c.ref, job), nil
}

// snapshot writes the job as it is, in place of the events before; for a job
// that has ended, its end too. Then only the end has an id: a viewer that is
// cut off between the two comes back for it. It is truncated when it stands
// for events that the viewer has missed, log lines perhaps.
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

// end writes the job's last event.
func (s *stream) writeEnd(ctx context.Context, c *streamCursor, job *jobs.Job) error {
	c.ended = true
	return s.writeJobEvent(ctx, c, "end", job.EventID(), job, false)
}

func (s *stream) writeJobEvent(ctx context.Context, c *streamCursor, name string, id notify.ID, job *jobs.Job, truncated bool) error {
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

// event adds an event of a job to what is to be sent.
func (s *stream) appendEvent(c *streamCursor, name string, id notify.ID, data []byte) error {
	text := "" // unless it is newer than what the viewer has
	if id.Compare(c.at) > 0 {
		c.at = id
		text = s.position(c)
	} else if s.multi && id.IsZero() { // the snapshot of a job that has ended: it moves no position
		text = s.position(c)
	}
	if s.multi {
		data = append([]byte(`{"job_id":"`+c.id+`",`), data[1:]...) // an object, never an empty one
	}
	return s.writer.appendEvent(name, text, data)
}
