package services

import (
	"context"
	"fmt"
	"math/big"

	"coatcheck/jobs"
)

type operands struct {
	A jobs.Number `json:"a" doc:"The first number." example:"3"`
	B jobs.Number `json:"b" doc:"The second number." example:"4"`
}

// A division by zero would fail again, so the job is not retried.
var errDivision = fmt.Errorf("division by zero: %w", jobs.ErrPermanent)

func add(_ context.Context, in operands) (sum jobs.Number, err error) {
	sum.Add(&in.A.Rat, &in.B.Rat)
	return sum, nil
}

func sub(_ context.Context, in operands) (difference jobs.Number, err error) {
	difference.Sub(&in.A.Rat, &in.B.Rat)
	return difference, nil
}

func mul(_ context.Context, in operands) (product jobs.Number, err error) {
	product.Mul(&in.A.Rat, &in.B.Rat)
	return product, nil
}

func div(_ context.Context, in operands) (quotient jobs.Number, err error) {
	if in.B.Sign() == 0 {
		return quotient, errDivision
	}
	quotient.Quo(&in.A.Rat, &in.B.Rat)
	return quotient, nil
}

// mod returns the remainder with the sign of b, as Python's % does: a - b·floor(a/b).
func mod(_ context.Context, in operands) (remainder jobs.Number, err error) {
	if in.B.Sign() == 0 {
		return remainder, errDivision
	}
	var quotient, product big.Rat
	quotient.Quo(&in.A.Rat, &in.B.Rat)
	floor, _ := new(big.Int).DivMod(quotient.Num(), quotient.Denom(), new(big.Int)) // the denominator is positive
	product.Mul(&in.B.Rat, new(big.Rat).SetInt(floor))
	remainder.Sub(&in.A.Rat, &product)
	return remainder, nil
}
