package web

import "time"

// A StatusTile is the number of jobs with a status.
type StatusTile struct{ Status, Href, Count string }

// A Failure is a failed job.
type Failure struct {
	Href, ID, Service, Owner, Code, Message string
	At                                      time.Time
}

// A ServiceSummary shows how the jobs of a service are doing.
type ServiceSummary struct {
	Service, Href           string // Href is "" if the user may not run the service
	Queued, Oldest, Running string
	QueuedHref, RunningHref string // "" if there are none
	Ended, FailureRate      string // in the last hour
	P50, P95                string // run time in the last hour
	Idle                    bool   // whether all of these are none
}

// OverviewPage shows how the jobs of a user, or of all users, are doing.
type OverviewPage struct {
	Page
	Refresh  int
	Empty    bool // whether there are no jobs
	Tiles    []StatusTile
	Ranges   []Link
	History  History
	Running  []JobRow
	Failures []Failure
	Services []ServiceSummary
	Owners   bool
	Sampled  int // if not 0, only this many of the queued jobs are counted by service
}
