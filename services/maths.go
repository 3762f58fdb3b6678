package services

import (
	"context"
	"fmt"
	"math"

	"coatcheck/jobs"
)

// The limits are those up to which a float64 holds every integer.
type operands struct {
	A float64 `json:"a" minimum:"-9007199254740991" maximum:"9007199254740991" doc:"The first number." example:"3"`
	B float64 `json:"b" minimum:"-9007199254740991" maximum:"9007199254740991" doc:"The second number." example:"4"`
}

// Dividing by zero again would not help, so it is not tried again.
var errDivision = fmt.Errorf("division by zero: %w", jobs.ErrPermanent)

func add(_ context.Context, in operands) (float64, error) { return in.A + in.B, nil }

func sub(_ context.Context, in operands) (float64, error) { return in.A - in.B, nil }

func mul(_ context.Context, in operands) (float64, error) { return in.A * in.B, nil }

func div(_ context.Context, in operands) (float64, error) {
	if in.B == 0 {
		return 0, errDivision
	}
	return in.A / in.B, nil
}

// mod returns the remainder with the sign of b, as Python's % does; Go's has
// the sign of a.
func mod(_ context.Context, in operands) (float64, error) {
	if in.B == 0 {
		return 0, errDivision
	}
	r := math.Mod(in.A, in.B)
	if r != 0 && (r < 0) != (in.B < 0) {
		r += in.B
	}
	return r, nil
}
