package services

import (
	"context"
	"encoding/json"
	"errors"
	"testing"

	"coatcheck/jobs"
)

type operation func(context.Context, operands) (jobs.Number, error)

func TestMaths(t *testing.T) {
	tests := []struct {
		name     string
		fn       operation
		in, want string
	}{
		{"add", add, `{"a":3,"b":4}`, "7"},
		{"add beyond float64", add, `{"a":9007199254740993,"b":1}`, "9007199254740994"},
		{"add without rounding", add, `{"a":0.1,"b":0.2}`, "0.3"},
		{"add with exponents", add, `{"a":1e30,"b":1E-3}`, "1000000000000000000000000000000.001"},
		{"sub", sub, `{"a":3,"b":4}`, "-1"},
		{"mul", mul, `{"a":3,"b":4}`, "12"},
		{"mul of large numbers", mul, `{"a":123456789012345678901234567890,"b":-10}`, "-1234567890123456789012345678900"},
		{"div", div, `{"a":7,"b":2}`, "3.5"},
		{"div without an end", div, `{"a":1,"b":3}`, "0.3333333333333333"},
		{"mod", mod, `{"a":7,"b":3}`, "1"},
		{"mod of a negative number", mod, `{"a":-7,"b":3}`, "2"},
		{"mod by a negative number", mod, `{"a":7,"b":-3}`, "-2"},
		{"mod of two negative numbers", mod, `{"a":-7,"b":-3}`, "-1"},
		{"mod without remainder", mod, `{"a":-6,"b":3}`, "0"},
		{"mod of a fraction", mod, `{"a":5.5,"b":2}`, "1.5"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var in operands
			if err := json.Unmarshal([]byte(tt.in), &in); err != nil {
				t.Fatal(err)
			}
			got, err := tt.fn(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			if text, err := json.Marshal(got); string(text) != tt.want || err != nil {
				t.Errorf("got %s, %v, want %s", text, err, tt.want)
			}
		})
	}
}

func TestDivisionByZeroIsPermanent(t *testing.T) {
	for name, fn := range map[string]operation{"div": div, "mod": mod} {
		if _, err := fn(t.Context(), operands{}); !errors.Is(err, jobs.ErrPermanent) {
			t.Errorf("%s: got error %v, want one that wraps %v", name, err, jobs.ErrPermanent)
		}
	}
}
