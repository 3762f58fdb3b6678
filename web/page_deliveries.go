package web

import "time"

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
