package api

import (
	"hash/crc32"
	"strconv"
	"strings"

	"coatcheck/notify"
)

// position returns the event id from which the client can resume. For a stream
// of one job, it is the id of the event. For several jobs, it is a checksum of
// the job ids, followed by the client's position in each job, as in
// "1885230371.4-7..5-0".
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

// restoreCursors sets the cursors from the position that the client resumes
// from. A position that is malformed or belongs to other jobs is ignored: the
// client gets snapshots, not an error.
func (s *stream) restoreCursors(position string) {
	parts := []string{position}
	if s.multi {
		sum, rest, _ := strings.Cut(position, ".")
		if parts = strings.Split(rest, "."); sum != strconv.FormatUint(uint64(checksum(s.cursors)), 10) ||
			len(parts) != len(s.cursors) {
			return
		}
	}
	for i, c := range s.cursors {
		if id, err := notify.ParseID(parts[i]); err == nil && !id.IsZero() {
			c.at, c.resume = id, true
		}
	}
}

// checksum identifies a list of jobs.
func checksum(cursors []*streamCursor) uint32 {
	sum := crc32.NewIEEE()
	for _, c := range cursors {
		sum.Write([]byte(c.id))
	}
	return sum.Sum32()
}
