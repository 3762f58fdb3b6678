package api

import (
	"hash/crc32"
	"strconv"
	"strings"

	"coatcheck/notify"
)

// position returns the id that the viewer comes back with. With one job, it
// is the event's. With many, it is a checksum of their ids and then the newest
// event that the viewer has of each, as in "1885230371.4-7..5-0".
func (s *stream) position(c *streamCursor) string {
	if !s.multi {
		return c.at.String()
	}
	b := strconv.AppendUint(nil, uint64(checksum(s.cursors)), 10)
	for _, c := range s.cursors {
		b = append(b, '.')
		if !c.at.IsZero() {
			b = append(b, c.at.String()...)
		}
	}
	return string(b)
}

// goOn finds the viewer's places by what it came back with. What makes no
// sense, or belongs to other jobs, counts as nothing: the viewer gets
// snapshots, not an error.
func (s *stream) restoreCursors(position string) {
	parts := []string{position}
	if s.multi {
		sum, rest, _ := strings.Cut(position, ".")
		if parts = strings.Split(rest, "."); sum != strconv.FormatUint(uint64(checksum(s.cursors)), 10) || len(parts) != len(s.cursors) {
			return
		}
	}
	for i, c := range s.cursors {
		if id, err := notify.ParseID(parts[i]); err == nil && !id.IsZero() {
			c.at, c.resume = id, true
		}
	}
}

// checksum tells lists of jobs apart.
func checksum(cursors []*streamCursor) uint32 {
	sum := crc32.NewIEEE()
	for _, c := range cursors {
		sum.Write([]byte(c.id))
	}
	return sum.Sum32()
}
