package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	"coatcheck/api/auth"
	"coatcheck/jobs"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"golang.org/x/time/rate"
)

// find returns the job that ref names, an id or a token, as the caller may see
// it. What belongs to somebody else does not exist.
func (a *API) findJob(ctx context.Context, ref string) (jobs.Job, error) {
	job, err := a.loadJob(ctx, ref)
	if err != nil {
		return jobs.Job{}, err
	}
	return infoOf(ctx).visibleJob(ref, job), nil
}

// look is find for callers that do not show the job. Of one that was removed
// it returns the id, beside [jobs.ErrRemoved].
func (a *API) loadJob(ctx context.Context, ref string) (jobs.Job, error) {
	user := infoOf(ctx).user
	id, byToken := ref, isTokenRef(ref)
	if byToken {
		var ok bool
		if id, ok = a.Queue.Keys.VerifyToken(ref); !ok {
			return jobs.Job{}, jobs.ErrNotFound
		}
	}
	job, err := a.Queue.Get(ctx, id)
	if err != nil && !errors.Is(err, jobs.ErrRemoved) {
		return jobs.Job{}, err
	}
	owns := user.Name != "" && (user.Admin || user.Name == job.Owner)
	if !owns && !byToken {
		return jobs.Job{}, jobs.ErrNotFound
	}
	return job, err
}

// own returns the job that ref names if the caller may change it.
func (a *API) ownedJob(ctx context.Context, ref string) (jobs.Job, error) {
	job, err := a.loadJob(ctx, ref)
	if err != nil {
		return jobs.Job{}, err
	}
	if user := infoOf(ctx).user; !user.Admin && user.Name != job.Owner {
		return jobs.Job{}, jobs.ErrNotFound
	}
	return job, nil
}

// isTokenRef reports whether what names a job in a URL is its token.
func isTokenRef(ref string) bool { return strings.Contains(ref, ".") }

// show returns the job as the caller may see it who named it by ref: with its
// token when that was it, and with its input when the caller owns it.
func (info *requestInfo) visibleJob(ref string, job jobs.Job) jobs.Job {
	switch {
	case isTokenRef(ref):
		return job.Opened(info.baseURL)
	case info.user.Admin || info.user.Name == job.Owner:
		return job.Closed(info.baseURL)
	default:
		return job.Closed(info.baseURL).WithoutInput()
	}
}

// rates limits how fast each user submits. Users come from the configuration,
// so there are not many.
type submitLimiter struct {
	limit rate.Limit
	mu    sync.Mutex
	users map[string]*rate.Limiter
}

func newSubmitLimiter(perSecond float64) *submitLimiter {
	return &submitLimiter{limit: rate.Limit(perSecond), users: make(map[string]*rate.Limiter)}
}

// take returns how long the user must wait; 0 when it need not.
func (s *submitLimiter) reserve(user string) time.Duration {
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

// authorize looks at the credentials of requests that need them, before their
// body is read.
func (a *API) authorize(required access) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(ctx)
		if required == userOnly || required == tokenOrUser && !usesToken(r) {
			if err := a.authenticate(r); err != nil {
				a.writeProblem(w, r, err)
				return
			}
		}
		next(ctx)
	}
}

// authenticate finds out who makes the request, by its Authorization header or
// its session.
func (a *API) authenticate(r *http.Request) error {
	err := a.authenticateHeader(r)
	if errors.Is(err, auth.ErrNoCredentials) {
		infoOf(r.Context()).user, err = a.sessionUser(r)
	}
	return err
}

// authenticateHeader finds out who makes the request, by its Authorization
// header only.
func (a *API) authenticateHeader(r *http.Request) (err error) {
	infoOf(r.Context()).user, err = a.Auth.Authenticate(r)
	a.recordLogin(r.Context(), claimedName(r), err)
	return err
}
