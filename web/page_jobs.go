package web

import "time"

// A JobRow is a job in a list.
type JobRow struct {
	Href, ID, Service, Status, Owner, Message string
	Percent                                   float64
	Attempt                                   string
	Callback                                  string
	Created                                   time.Time
	Took                                      string
}

// A Bulk is a change of all jobs that match, before it is made.
type Bulk struct {
	Verb, Question string
	Count, Most    int
	Before         string
}

// JobsPage lists jobs.
type JobsPage struct {
	Page
	Refresh         int // in seconds; 0 for not at all
	Jobs            []JobRow
	Services        []string
	Statuses        []string
	Status, Service string
	Tag, Since      string
	Filtered        bool
	Hidden          []Field // the filter, for forms
	Owners          bool
	Newer, Older    string
	CancelHref      string
	RetryHref       string
	Bulk            *Bulk
	Done            string // what came of a bulk change
}

// A Moment is something in a timeline.
type Moment struct {
	At     time.Time
	Status string
	Text   string
	Note   string
}

// JobPage shows a job.
type JobPage struct {
	Page
	Refresh                  int
	ID, Service, Status      string
	Version                  string
	Percent                  float64
	Message                  string
	Done, Mine               bool
	EventsURL, StatusURL     string
	ResultURL, ShareURL      string
	RunAgain                 string
	CanCancel, CanRetry      bool
	Canceling                bool
	Output, Error, ErrorCode string
	Input                    string
	Timeline                 []Moment
	Facts                    []Fact
	Steps                    []StepRow
	Deliveries               []DeliveryRow
	HasCallback              bool
	Snippets                 []Snippet
}

// A Fact is a line of what is known of something.
type Fact struct {
	Name, Text string
	At         *time.Time
}

// A StepRow is a step of a job.
type StepRow struct{ Number, Service, Status, Output string }
