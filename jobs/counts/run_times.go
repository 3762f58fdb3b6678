package counts

import "time"

// runBounds are the upper bounds of the ranges by which run times are counted. There is one more
// range, for those that are longer.
var runBounds = [...]time.Duration{
	10 * time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond,
	time.Second, 3 * time.Second, 10 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour,
}

// runColumns are the columns of the ranges in job_counts.
var runColumns = [len(runBounds) + 1]string{
	"ran_10ms", "ran_30ms", "ran_100ms", "ran_300ms", "ran_1s", "ran_3s", "ran_10s", "ran_30s",
	"ran_2m", "ran_10m", "ran_1h", "ran_longer",
}

// runTimes is a histogram of run times.
type runTimes [len(runBounds) + 1]int64

// add counts a run time.
func (r *runTimes) add(d time.Duration) {
	i := 0
	for i < len(runBounds) && d > runBounds[i] {
		i++
	}
	r[i]++
}

// count returns the number of run times.
func (r *runTimes) count() (n int64) {
	for _, in := range r {
		n += in
	}
	return n
}

// percentile estimates a percentile from the histogram and the sum of at least one run time. Within
// a range, run times are taken to be spread evenly.
func (r *runTimes) percentile(percent int64, sum time.Duration) time.Duration {
	n := r.count()
	if n == 1 {
		return sum
	}
	rank := (n*percent + 99) / 100
	var lower time.Duration
	for i, upper := range runBounds {
		if rank <= r[i] {
			return min(lower+time.Duration(float64(upper-lower)*float64(rank)/float64(r[i])), sum)
		}
		rank -= r[i]
		lower = upper
	}
	return max(lower, sum/time.Duration(n))
}
