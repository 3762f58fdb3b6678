package web

import "time"

// A DeliveryRow is a row in a list of callbacks.
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
