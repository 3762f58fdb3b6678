package web

import "time"

// A DeliveryRow is a row in a list of callbacks.
type DeliveryRow struct {
	Href, ID, Event, URL, Status, JobID string
	Attempts                            int
	Code                                string
	Next                                string
	Hold                                *Hold // why it waits longer than that
	Created                             time.Time
}

// A Hold means that callbacks to a host wait. Owner and Origin are set in lists of holds.
type Hold struct {
	Owner, Origin string
	Until         time.Time
	Reason        string
}

// A ReceiverRow shows how the callbacks to a host, such as "https://example.com", are doing.
type ReceiverRow struct {
	Href, Owner, Origin        string
	Delivered, Failed, Pending int64
	Rate                       string // of those that ended
	Code                       string // the last response
	Hold                       *Hold
}

// DeliveriesPage lists callbacks.
type DeliveriesPage struct {
	Page
	Refresh       int
	Deliveries    []DeliveryRow
	Tabs          []Tab
	Events        []string
	Status, Event string
	URL, Host     string // text in the URL, and the origin
	JobID, Since  string
	Searched      string // in how many callbacks at most
	AnyHost       string // link to the list without the filter by host
	Filtered      bool
	Hidden        []Field // the filter, as hidden form fields
	List          string  // link to the newest that match
	Newer, Older  string
	RedeliverAll  string
	Bulk          *Bulk
	Done          string
	Owners        bool // whether receivers may have different owners
	Receivers     []ReceiverRow
	ReceiverCount int // including those that are not shown
}

// An AttemptRow is one attempt to send a callback.
type AttemptRow struct {
	Number            int
	At                time.Time
	Status, Code      string
	Message           string
	Took              string
	Parts             string // the parts of the duration
	Request, Response string
	Open              bool // whether its details are shown at first
}

// DeliveryPage shows a callback and all attempts to send it.
type DeliveryPage struct {
	Page
	Refresh  int
	Delivery DeliveryRow
	Body     string
	LastErr  string
	Attempts []AttemptRow
}
