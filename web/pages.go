package web

import "time"

// A Page is what all pages have.
type Page struct {
	Title string
	// Here is the path of the part of the site that the page belongs to.
	Here string
	// User is who is signed in; empty for those who only hold a token.
	User string
	// CanSignOut says that the user came by a session.
	CanSignOut bool
	// Engine says that the user may look into the engine room.
	Engine bool
}

// A Link leads somewhere.
type Link struct {
	Name, Href, About string
	Here              bool
}

// A Field is something that a form asks for.
type Field struct {
	Name, ID, Label, Help, Kind, Value, Placeholder string
	// Errors are what is wrong with the value.
	Errors         []string
	Min, Max, Step string
	MaxLength      int
	Required       bool
	Options        []string // of a select
}

// A Form submits a job.
type Form struct {
	Action  string
	Key     string // makes a form that is sent twice one job
	Fields  []Field
	Options []Field
	Errors  []string // that belong to no field
	// OpenOptions says that something is wrong among the options, or set.
	OpenOptions bool
	// JSON says that the whole submission is typed as JSON, into the first
	// field; Other is the other way to fill it in.
	JSON  bool
	Other string
}

// A Snippet is the same call in a language.
type Snippet struct{ ID, Language, Code string }

// ServicesPage shows what can be run, and a form that runs it.
type ServicesPage struct {
	Page
	Services []Link
	Name     string
	Summary  string
	Limits   string
	Schema   string
	Form     Form
	Snippets []Snippet
	Recent   []JobRow
}

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

// A DeliveryRow is a callback in a list.
type DeliveryRow struct {
	Href, ID, Event, URL, Status, JobID string
	Attempts                            int
	Code                                string
	Next                                string
	Created                             time.Time
}

// DeliveriesPage lists callbacks.
type DeliveriesPage struct {
	Page
	Refresh      int
	Deliveries   []DeliveryRow
	Status       string
	Filtered     bool
	Newer, Older string
	RedeliverAll string
	Bulk         *Bulk
	Done         string
}

// An AttemptRow is one request to a receiver.
type AttemptRow struct {
	Number            int
	At                time.Time
	Status, Code      string
	Message           string
	Took              string
	Parts             string // of the time it took
	Request, Response string
}

// DeliveryPage shows a callback and every attempt at it.
type DeliveryPage struct {
	Page
	Refresh  int
	Delivery DeliveryRow
	Body     string
	LastErr  string
	Attempts []AttemptRow
}

// A Tile is a number that matters.
type Tile struct{ Name, Value, Note string }

// A ServiceRow is how long jobs of a service took.
type ServiceRow struct {
	Service   string
	Jobs      int
	Wait, Run []Tile // percentiles
	Bars      Chart
}

// A WorkerRow is a process that runs jobs.
type WorkerRow struct {
	ID, Host, Status, Load string
	Beat                   string
	Started                time.Time
}

// SystemPage shows the engine from above.
type SystemPage struct {
	Page
	Refresh  int
	Tiles    []Tile
	Chart    Chart
	Services []ServiceRow
	Workers  []WorkerRow
	Facts    []Fact
}

// LoginPage asks who somebody is.
type LoginPage struct {
	Page
	Next, Name, Error string
}

// A ReceivedRow is a callback that the test receiver got.
type ReceivedRow struct {
	ID, Event, MessageID string
	At                   time.Time
	Verdict              string // why the signature is wrong
	Checked              string // what a key of the reader's own says
	Answered             string
	Again                bool // the same message came before
	Request              string
}

// ReceiverPage shows the test receiver.
type ReceiverPage struct {
	Page
	Refresh  int
	URL      string
	Answer   string
	Damage   string
	Answers  []Option
	Damages  []Option
	Received []ReceivedRow
	Checking bool
	KeyError string
}

// An Option is one of several.
type Option struct {
	Value, Name string
	Chosen      bool
}

// ProblemPage says that something did not work, and what to do.
type ProblemPage struct {
	Page
	Status           int
	Heading, Detail  string
	RequestID, Retry string
	Mistakes         []string
}
