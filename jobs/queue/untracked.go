package queue

import "time"

// idle tracks what this process has fetched and is not working on. The zero value is ready to use.
type idle struct{ since map[string]time.Time }

// overdue returns those of ids that were in every call for [staleAfter] while works returned false
// for them.
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
