package limits

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Submissions limits the submission rate of each user. It never evicts
// users: they come from the configuration, so there are few.
type Submissions struct {
	limit rate.Limit
	mu    sync.Mutex // guards users
	users map[string]*rate.Limiter
}

// NewSubmissions returns a Submissions with this limit for each user, in submissions per second; 0 means
// no limit.
func NewSubmissions(perSecond float64) *Submissions {
	return &Submissions{limit: rate.Limit(perSecond), users: make(map[string]*rate.Limiter)}
}

// Reserve counts a submission of the user and returns 0. If the limit is
// reached, it returns how long the user must wait.
func (s *Submissions) Reserve(user string) time.Duration {
	if s.limit == 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	limiter := s.users[user]
	if limiter == nil {
		limiter = rate.NewLimiter(s.limit, max(1, int(math.Ceil(float64(s.limit)))))
		s.users[user] = limiter
	}
	reservation := limiter.Reserve()
	wait := reservation.Delay()
	if wait > 0 {
		reservation.Cancel()
	}
	return wait
}
