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
	mostUnsent = 64 << 10
	// doubtTime is how long a viewer is believed that it has seen more than
	// the server knows of.
	doubtTime = time.Second
)

// A place is how far a viewer is in the events of a job.
type place struct {
	id     string
	ref    string    // how the viewer named the job
	at     notify.ID // the newest event that the viewer has
	resume bool      // whether it said so
	sub    *notify.Subscription
	over   bool      // the viewer has the job's end
	doubt  time.Time // when at must have turned out to be true; zero if it has
}

// place begins where the viewer is in the events of the job, or with a
// snapshot.
func (s *stream) place(ctx context.Context, p *place, job *jobs.Job) error {
	newest := job.EventID()
	switch {
	case p.resume && p.sub.Resume(p.at):
		s.api.Hub.Behind(p.id, newest) // the log may have lost the last word
		return nil
	case p.resume && p.at == newest:
		p.sub.Follow(newest) // nothing has happened since, or a gap shows
		return nil
	case p.resume && p.at.Compare(newest) < 0 && p.sub.UpToDate(p.at):
		// What the table has already is about to be published, or was lost;
		// then a snapshot follows.
		p.sub.Follow(p.at)
		s.api.Hub.Behind(p.id, newest)
		return nil
	case p.resume && p.at.Version == newest.Version && p.sub.Ahead(p.at):
		// It was on another server, and what this one lacks is on its way; or
		// the log was lost, and the table is behind what a run says.
		p.sub.Follow(p.at)
		p.doubt = time.Now().Add(doubtTime)
		return nil
	case p.at.Version > newest.Version:
		p.at = notify.ID{} // never was
	}
	return s.snapshot(ctx, p, job, p.resume)
}

// settle sends a snapshot to a viewer who claims to have seen what seems not
// to be.
func (s *stream) settle(ctx context.Context, p *place) (sent bool, err error) {
	p.doubt = time.Time{}
	if !p.sub.Ahead(p.at) {
		return false, nil
	}
	job, err := s.load(ctx, p)
	if err != nil {
		return false, err
	}
	p.sub.Reset()
	s.wake() // to take what follows
	return true, s.snapshot(ctx, p, &job, true)
}

// take writes the newest events of a job, and reports whether there were any.
func (s *stream) take(ctx context.Context, p *place) (took bool, err error) {
	if !p.doubt.IsZero() && !time.Now().Before(p.doubt) {
		if took, err = s.settle(ctx, p); took || err != nil {
			return took, err
		}
	}
	events, gap, err := p.sub.Take()
	if errors.Is(err, notify.ErrClosed) {
		return false, s.sendAway()
	}
	if gap {
		job, err := s.load(ctx, p)
		if err != nil {
			return true, err
		}
		s.wake() // to take what follows
		return true, s.snapshot(ctx, p, &job, true)
	}
	for _, e := range events {
		if e.Name != "end" {
			err = s.event(p, e.Name, e.ID, e.Data)
		} else if job, loadErr := s.load(ctx, p); loadErr != nil {
			return true, loadErr
		} else if job.Done { // else it was retried since; what follows says so
			return true, s.end(ctx, p, &job)
		}
		if err == nil && len(s.sink.buf) > mostUnsent {
			err = s.sink.flush()
		}
		if err != nil {
			return true, err
		}
	}
	return len(events) > 0, nil
}

// load reads a job as the viewer may see it.
func (s *stream) load(ctx context.Context, p *place) (jobs.Job, error) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	job, err := s.api.Queue.Get(ctx, p.id)
	if err != nil {
		return jobs.Job{}, fmt.Errorf("read job: %w", err)
	}
	return s.info.show(p.ref, job), nil
}

// snapshot writes the job as it is, in place of the events before; for a job
// that has ended, its end too. Then only the end has an id: a viewer that is
// cut off between the two comes back for it. It is truncated when it stands
// for events that the viewer has missed, log lines perhaps.
func (s *stream) snapshot(ctx context.Context, p *place, job *jobs.Job, truncated bool) error {
	id := p.sub.Start(job.EventID())
	if !job.Done {
		return s.eventWith(ctx, p, "snapshot", id, job, truncated)
	}
	if err := s.eventWith(ctx, p, "snapshot", notify.ID{}, job, truncated); err != nil {
		return err
	}
	return s.end(ctx, p, job)
}

// end writes the job's last event.
func (s *stream) end(ctx context.Context, p *place, job *jobs.Job) error {
	p.over = true
	return s.eventWith(ctx, p, "end", job.EventID(), job, false)
}

func (s *stream) eventWith(ctx context.Context, p *place, name string, id notify.ID, job *jobs.Job, truncated bool) error {
	whole := *job
	leave, err := s.api.completeFor(ctx, s.info, &whole)
	if err != nil {
		return fmt.Errorf("read the output: %w", err)
	}
	if leave != nil {
		defer leave()
	}
	rendered, err := renderJob(&whole)
	if err != nil {
		return err
	}
	data := slices.Concat([]byte(`{"type":"`+name+`","job":`), rendered)
	if truncated {
		data = append(data, `,"truncated":true`...)
	}
	data = append(data, '}')
	if err := s.event(p, name, id, data); err != nil || leave == nil {
		return err
	}
	return s.sink.flush()
}

// event adds an event of a job to what is to be sent.
func (s *stream) event(p *place, name string, id notify.ID, data []byte) error {
	text := "" // unless it is newer than what the viewer has
	if id.Compare(p.at) > 0 {
		p.at = id
		text = s.position(p)
	} else if s.many && id.IsZero() { // the snapshot of a job that has ended: it moves no position
		text = s.position(p)
	}
	if s.many {
		data = append([]byte(`{"job_id":"`+p.id+`",`), data[1:]...) // an object, never an empty one
	}
	return s.sink.event(name, text, data)
}
