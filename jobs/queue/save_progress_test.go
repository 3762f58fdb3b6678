package queue

import (
	"strings"
	"testing"

	"coatcheck/jobs"
)

// TestSaveProgressRotatesRuns: when a round has no time for all runs, the next one begins
// with those that were left out.
func TestSaveProgressRotatesRuns(t *testing.T) {
	for _, c := range []struct{ runs, after, want string }{
		{"b c a", "", "a b c"},
		{"b c a", "a", "b c a"},
		{"b d a", "c", "d a b"},
		{"b c a", "c", "a b c"},
		{"", "c", ""},
	} {
		var runs []*run
		for id := range strings.FieldsSeq(c.runs) {
			runs = append(runs, &run{job: jobs.Job{ID: id}})
		}
		var got []string
		for _, r := range inTurn(runs, c.after) {
			got = append(got, r.job.ID)
		}
		if got := strings.Join(got, " "); got != c.want {
			t.Errorf("after %q: got %q, want %q", c.after, got, c.want)
		}
	}
}
