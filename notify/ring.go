package notify

import (
	"slices"
	"sort"
)

// A ring holds the newest events of a topic, in order. It stores their data in a few large byte
// slices: one object per event, for thousands of topics, would keep the garbage collector busy and
// delay viewers.
type ring struct {
	records []record
	dropped int      // number of records that are already dropped
	pieces  [][]byte // bytes are only appended, so returned data never changes
	first   int      // the number of pieces[0]
	names   []string // names of events; there are few different ones
	bytes   int      // size of the events' data
}

// A record is an event without pointers.
type record struct {
	id, prev         ID
	name             int // index in names
	piece, from, end int // position of its data
}

// pieceBytes is the size of a piece, unless an event is larger.
const pieceBytes = 16 << 10

func (r *ring) len() int { return len(r.records) - r.dropped }

// oldest returns the id of the oldest event; the ring must not be empty.
func (r *ring) oldest() ID { return r.records[r.dropped].id }

// push adds the newest event. It copies the data.
func (r *ring) push(e Event) {
	if len(r.pieces) == 0 || cap(r.pieces[len(r.pieces)-1])-len(r.pieces[len(r.pieces)-1]) < len(e.Data) {
		size := 0 // keeps a topic with one event small
		if len(r.pieces) > 0 {
			size = min(2*cap(r.pieces[len(r.pieces)-1]), pieceBytes)
		}
		r.pieces = append(r.pieces, make([]byte, 0, max(size, len(e.Data))))
	}
	name := slices.Index(r.names, e.Name)
	if name < 0 {
		name = len(r.names)
		r.names = append(r.names, string([]byte(e.Name))) // copied, because it may be a part of a larger string
	}
	last := len(r.pieces) - 1
	from := len(r.pieces[last])
	r.pieces[last] = append(r.pieces[last], e.Data...)
	r.records = append(r.records, record{e.ID, e.Prev, name, r.first + last, from, from + len(e.Data)})
	r.bytes += len(e.Data)
}

// shift drops the oldest event.
func (r *ring) shift() {
	old := r.records[r.dropped]
	r.bytes -= old.end - old.from
	if r.dropped++; r.len() == 0 {
		*r = ring{}
		return
	}
	if 2*r.dropped > len(r.records) {
		r.records = slices.Delete(r.records, 0, r.dropped)
		r.dropped = 0
	}
	unused := r.records[r.dropped].piece - r.first
	r.pieces = slices.Delete(r.pieces, 0, unused)
	r.first += unused
}

// after returns the events after an id.
func (r *ring) after(id ID) []Event {
	records := r.records[r.dropped:]
	records = records[sort.Search(len(records), func(i int) bool { return records[i].id.Compare(id) > 0 }):]
	if len(records) == 0 {
		return nil
	}
	events := make([]Event, len(records))
	for i, rec := range records {
		events[i] = Event{
			ID: rec.id, Prev: rec.prev, Name: r.names[rec.name],
			Data: r.pieces[rec.piece-r.first][rec.from:rec.end:rec.end],
		}
	}
	return events
}

// has reports whether the ring contains the event with this id.
func (r *ring) has(id ID) bool {
	records := r.records[r.dropped:]
	_, found := sort.Find(len(records), func(i int) int { return id.Compare(records[i].id) })
	return found
}
