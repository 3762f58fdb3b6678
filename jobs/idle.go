package jobs

import "time"

// idle remembers what this process has fetched and does not work on. The zero
// value remembers nothing.
type idle struct{ since map[string]time.Time }

// overdue returns those of ids that were among the ids of every call for
// [staleAfter] while works was false for them.
func (i *idle) overdue(ids []string, works func(id string) bool) []string {
	since := make(map[string]time.Time)
	var overdue []string
	for _, id := range ids {
		first, seen := i.since[id]
		switch {
		case works(id):
		case !seen:
			since[id] = time.Now()
		case time.Since(first) < staleAfter:
			since[id] = first
		default:
			overdue = append(overdue, id)
		}
	}
	i.since = since
	return overdue
}
