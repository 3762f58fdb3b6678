package services

import (
	"context"
	"errors"
	"testing"

	"coatcheck/jobs"
)

func TestMaths(t *testing.T) {
	tests := []struct {
		name string
		fn   func(context.Context, operands) (float64, error)
		in   operands
		want float64
	}{
		{"add", add, operands{3, 4}, 7},
		{"sub", sub, operands{3, 4}, -1},
		{"mul", mul, operands{3, 4}, 12},
		{"div", div, operands{7, 2}, 3.5},
		{"mod", mod, operands{7, 3}, 1},
		{"mod of a negative number", mod, operands{-7, 3}, 2},
		{"mod by a negative number", mod, operands{7, -3}, -2},
		{"mod of two negative numbers", mod, operands{-7, -3}, -1},
		{"mod without remainder", mod, operands{-6, 3}, 0},
		{"mod of a fraction", mod, operands{5.5, 2}, 1.5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := tt.fn(t.Context(), tt.in); got != tt.want || err != nil {
				t.Errorf("got %v, %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestDivisionByZeroIsPermanent(t *testing.T) {
	for name, fn := range map[string]func(context.Context, operands) (float64, error){"div": div, "mod": mod} {
		if _, err := fn(t.Context(), operands{A: 1}); !errors.Is(err, jobs.ErrPermanent) {
			t.Errorf("%s: got error %v, want one that wraps %v", name, err, jobs.ErrPermanent)
		}
	}
}
