// Package notify publishes live events to viewers, through this process or Redis, and sends signed
// callbacks to URLs. It does not depend on jobs: it transports bytes.
package notify

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrStale is returned if an event is not newer than the newest event of its topic: its publisher
// has lost the job.
var ErrStale = errors.New("the topic has a newer event")

// An ID orders the events of a topic: first by the version of the record that the event belongs to,
// then by a counter within that version. Its text is "version-n", which is also a valid Redis
// stream id and needs no CORS preflight as a Last-Event-ID.
type ID struct {
	Version, N uint64
}

// ParseID parses an id in the format of String.
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

// Compare returns -1, 0 or +1 if id is before, the same as or after other.
func (id ID) Compare(other ID) int {
	return cmp.Or(cmp.Compare(id.Version, other.Version), cmp.Compare(id.N, other.N))
}

// IsZero reports whether the id belongs to no event.
func (id ID) IsZero() bool { return id == ID{} }

// An Event is an event of a topic.
type Event struct {
	// ID is chosen by the publisher and must increase within the topic.
	ID ID
	// Prev is the id of the previous event, if the publisher knows it. Viewers use it to detect
	// missing events. Zero means unknown: then the newest event in the topic's log counts as the
	// previous one.
	Prev ID
	// Name is the event's type, such as "progress".
	Name string
	// Data is one line of JSON.
	Data []byte
}
