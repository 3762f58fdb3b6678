// Package notify tells the outside what happens to jobs: live events to
// viewers, through this process or Redis, and signed callbacks to URLs. It
// carries bytes and knows no job.
package notify

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrStale is returned when an event is not newer than the newest one of its
// topic: whoever published it no longer speaks for the job.
var ErrStale = errors.New("the topic has a newer event")

// An ID orders the events of a topic: first the version of the record that
// the event belongs to, then a counter within that version. It is written
// "version-n", which is also a valid Redis stream id and needs no CORS
// preflight as a Last-Event-ID.
type ID struct {
	Version, N uint64
}

// ParseID parses the form that String writes.
func ParseID(s string) (ID, error) {
	version, n, ok := strings.Cut(s, "-")
	if !ok {
		return ID{}, fmt.Errorf("event id %.40q is not of the form version-n", s)
	}
	var id ID
	var err1, err2 error
	id.Version, err1 = strconv.ParseUint(version, 10, 64)
	id.N, err2 = strconv.ParseUint(n, 10, 64)
	if err1 != nil || err2 != nil {
		return ID{}, fmt.Errorf("event id %.40q is not of the form version-n", s)
	}
	return id, nil
}

// String returns the id as "version-n".
func (id ID) String() string {
	var b [41]byte
	text := append(strconv.AppendUint(b[:0], id.Version, 10), '-')
	return string(strconv.AppendUint(text, id.N, 10))
}

// Compare returns -1, 0 or +1 when id is before, the same as or after other.
func (id ID) Compare(other ID) int {
	return cmp.Or(cmp.Compare(id.Version, other.Version), cmp.Compare(id.N, other.N))
}

// IsZero reports whether the id is that of no event.
func (id ID) IsZero() bool { return id == ID{} }

// An Event is something that happened on a topic.
type Event struct {
	// ID is chosen by the publisher and must grow within the topic.
	ID ID
	// Prev is the id of the event before, when the publisher knows it: it is
	// how a viewer tells that nothing is missing in between. Zero means
	// unknown; then the newest event in the topic's log is taken for it.
	Prev ID
	// Name is the event's type, such as "progress".
	Name string
	// Data is one line of JSON.
	Data []byte
}
