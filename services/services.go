// Package services contains the built-in services, one per file.
//
// To add a service, copy sleep.go and its test, change them, and add a line to
// [Register]. That also adds validation, the route, its documentation and the page.
package services

import (
	"time"

	"coatcheck/jobs"
)

// Register registers all built-in services.
func Register(r *jobs.Registry) {
	jobs.Add(r, jobs.Service{Name: "sleep", Summary: "Wait for a while, and say so.", Timeout: 2 * time.Hour}, sleep)
	jobs.Add(r, jobs.Service{Name: "maths.add", Summary: "Add two numbers."}, add)
	jobs.Add(r, jobs.Service{Name: "maths.sub", Summary: "Subtract the second number from the first."}, sub)
	jobs.Add(r, jobs.Service{Name: "maths.mul", Summary: "Multiply two numbers."}, mul)
	jobs.Add(r, jobs.Service{Name: "maths.div", Summary: "Divide the first number by the second."}, div)
	jobs.Add(r, jobs.Service{Name: "maths.mod", Summary: "Take the first number modulo the second."}, mod)
}
