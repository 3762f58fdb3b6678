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

// An AttemptRow is one attempt to send a callback.
type AttemptRow struct {
	Number            int
	At                time.Time
	Status, Code      string
	Message           string
	Took              string
	Parts             string // the parts of the duration
	Request, Response string
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
