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
func (s *stream) position(p *place) string {
	if !s.many {
		return p.at.String()
	}
	b := strconv.AppendUint(nil, uint64(checksum(s.places)), 10)
	for _, p := range s.places {
		b = append(b, '.')
		if !p.at.IsZero() {
			b = append(b, p.at.String()...)
		}
	}
	return string(b)
}

// goOn finds the viewer's places by what it came back with. What makes no
// sense, or belongs to other jobs, counts as nothing: the viewer gets
// snapshots, not an error.
func (s *stream) goOn(position string) {
	parts := []string{position}
	if s.many {
		sum, rest, _ := strings.Cut(position, ".")
		if parts = strings.Split(rest, "."); sum != strconv.FormatUint(uint64(checksum(s.places)), 10) || len(parts) != len(s.places) {
			return
		}
	}
	for i, p := range s.places {
		if id, err := notify.ParseID(parts[i]); err == nil && !id.IsZero() {
			p.at, p.resume = id, true
		}
	}
}

// checksum tells lists of jobs apart.
func checksum(places []*place) uint32 {
	sum := crc32.NewIEEE()
	for _, p := range places {
		sum.Write([]byte(p.id))
	}
	return sum.Sum32()
}
