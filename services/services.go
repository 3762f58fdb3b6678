// Package services contains the built-in services, one per file.
//
// To add a service, copy sleep.go and its test, change them, and add a line to
// [Register]. That also adds validation, the route, its documentation and the page.
package services

import (
	"time"

	"coatcheck/jobs/domain"
)

// Register registers all built-in services.
func Register(r *domain.Registry) {
	domain.Add(r, domain.Service{Name: "sleep", Summary: "Wait for a while, and say so.", Timeout: 2 * time.Hour}, sleep)
	domain.Add(r, domain.Service{Name: "maths.add", Summary: "Add two numbers."}, add)
	domain.Add(r, domain.Service{Name: "maths.sub", Summary: "Subtract the second number from the first."}, sub)
	domain.Add(r, domain.Service{Name: "maths.mul", Summary: "Multiply two numbers."}, mul)
	domain.Add(r, domain.Service{Name: "maths.div", Summary: "Divide the first number by the second."}, div)
	domain.Add(r, domain.Service{Name: "maths.mod", Summary: "Take the first number modulo the second."}, mod)
}
