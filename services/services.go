// Package services holds what this server can run, one file a service.
//
// To add one, copy sleep.go and its test, change them, and add a line to
// [Register]. Validation, the route, its documentation and its page follow.
package services

import (
	"time"

	"coatcheck/jobs"
)

// Register adds every service to r.
func Register(r *jobs.Registry) {
	jobs.Add(r, jobs.Service{Name: "sleep", Summary: "Wait for a while, and say so.", Timeout: 2 * time.Hour}, sleep)
	jobs.Add(r, jobs.Service{Name: "maths.add", Summary: "Add two numbers."}, add)
	jobs.Add(r, jobs.Service{Name: "maths.sub", Summary: "Subtract the second number from the first."}, sub)
	jobs.Add(r, jobs.Service{Name: "maths.mul", Summary: "Multiply two numbers."}, mul)
	jobs.Add(r, jobs.Service{Name: "maths.div", Summary: "Divide the first number by the second."}, div)
	jobs.Add(r, jobs.Service{Name: "maths.mod", Summary: "Take the first number modulo the second."}, mod)
}
