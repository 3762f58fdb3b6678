package web

import "time"

// A ReceivedRow is a callback that the test receiver received.
type ReceivedRow struct {
	ID, Event, MessageID string
	At                   time.Time
	Verdict              string // why the signature is invalid; "" if it is valid
	Checked              string // result of the verification with the reader's own key
	Answered             string
	Again                bool // a duplicate of an earlier message
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

// An Option is an option of a select.
type Option struct {
	Value, Name string
	Chosen      bool
}
