package web

import "time"

// A JobRow is a row in a list of jobs.
type JobRow struct {
	Href, ID, Service, Status, Owner, Message string
	Percent                                   float64
	Attempt                                   string
	Callback                                  string
	Created                                   time.Time
	Took                                      string
	RetriedAs                                 string // the id of the job that runs it again
	Digest                                    string // of the input
	Code                                      string // of the error; "" for none
	Tags                                      []string
}

// A Tab leads to the jobs with a status. Count is how many there are; "" if that is not known.
type Tab struct {
	Name, Href, Count string
	Here              bool
}

// A Bulk is the confirmation of an action on all matching jobs.
type Bulk struct {
	Verb, Question string
	Count, Most    int
	Before         string
	IDs            []string // the selected jobs; nil for all that match
	Note           string
}

// JobsPage lists jobs.
type JobsPage struct {
	Page
	Refresh         int // interval in seconds; 0 means never
	Jobs            []JobRow
	Services        []string
	Tabs            []Tab
	Status, Service string
	Tag, Since      string
	Text, Searched  string // searched text, and in how many jobs at most
	Filtered        bool
	Hidden          []Field // the filter, as hidden form fields
	Owners          bool
	Newer, Older    string
	CancelHref      string
	RetryHref       string
	Bulk            *Bulk
	Done, DoneHref  string // result of a bulk action, and a list of the jobs that it created
}

// A Moment is a timeline entry.
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
	File                     *FileView // the output, if it is a file
	Tree                     *Node     // of the output, beside its text
	Input                    string
	Uploads                  []Upload
	Timeline                 []Moment
	Attempts                 Waterfall
	Facts                    []Fact
	Steps                    []StepRow
	Deliveries               []DeliveryRow
	HasCallback              bool
	Log                      Log
	After                    string // the event after which the page's live updates begin
	Snippets                 []Snippet
}

// A FileView is a file that a job returned.
type FileView struct {
	Kind             string // image, audio or video, which the page shows; else ""
	Name, Type, Size string
}

// An Upload is a file of a job's input, in which its id stands for it.
type Upload struct{ ID, Href, Name, Type, Size, SHA256 string }

// A Log is the stored log of a job, or its lines that match a filter. Last is the number of its newest
// line.
type Log struct {
	Lines        []LogLine
	Stored       int64 // lines, with those that do not match
	Last         uint64
	Truncated    bool
	Filtered     bool
	Query, Level string // the filter
}

// Found returns the number of lines that match the filter.
func (l Log) Found() int64 { return int64(len(l.Lines)) }

// A LogLine is a message in a log. At is nil if its time is not known.
type LogLine struct {
	ID, Heading string // of the attempt that the line begins, if there are several
	At          *time.Time
	Level       string
	Parts       []LogPart
}

// A LogPart is a part of a log message in one style. Class has the CSS classes of the style; "" is plain
// text.
type LogPart struct{ Class, Text string }

// A Fact is a labeled value.
type Fact struct {
	Name, Text string
	Href       string // what the text links to
	At         *time.Time
}

// A StepRow is a step of a job.
type StepRow struct{ Number, Service, Status, Output string }
