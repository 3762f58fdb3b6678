package web

import "time"

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
