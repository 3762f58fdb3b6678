package schema

import (
	"context"
	"strings"
	"testing"

	"coatcheck/jobs"
)

// A tag that can't be honored stops the start; it would be a limit in name only.
func TestTags(t *testing.T) {
	type inner struct {
		Count int `json:"count" minLength:"1"`
	}
	type right struct {
		Text  string   `json:"text" minLength:"1" maxLength:"5" pattern:"^[a-z]+$" default:"abc" example:"de" yaml:"text" doc:"Some."`
		N     float64  `json:"n,omitempty" minimum:"0" exclusiveMaximum:"1" default:"0.5"`
		List  []string `json:"list" minItems:"1" uniqueItems:"true" maxLength:"3" enum:"a,b"`
		Big   uint32   `json:"big" default:"3000000000"`
		Huge  uint64   `json:"huge" example:"5000000000"`
		Other *inner   `json:"-"`
	}
	if err := checked[right](t); err != nil {
		t.Error(err)
	}
	for want, err := range map[string]error{
		"service test: input.n: the tag maxLength requires a field of type string, not integer": checked[struct {
			N int `json:"n" maxLength:"3"`
		}](t),
		"input.text: the tag minimum requires a field of type number or integer, not string": checked[struct {
			Text string `json:"text" minimum:"3"`
		}](t),
		"input.text: unknown tag maxlength; did you mean maxLength?": checked[struct {
			Text string `json:"text" maxlength:"3"`
		}](t),
		"input.n: unknown tag min; ": checked[struct {
			N int `json:"n" min:"3"`
		}](t),
		"input.n: the default is not allowed: expected at least 3": checked[struct {
			N int `json:"n" minimum:"3" default:"2"`
		}](t),
		"input.text: the example is not allowed: ": checked[struct {
			Text string `json:"text" maxLength:"3" example:"too long"`
		}](t),
		"service test: invalid float tag 'minimum' for field 'N': many": checked[struct {
			N int `json:"n" minimum:"many"`
		}](t),
		"service test: regexp: Compile(`[`)": checked[struct {
			Text string `json:"text" pattern:"["`
		}](t),
		"input.text: unknown format date-tme; expected one of binary, byte, date, date-time, ": checked[struct {
			Text string `json:"text" format:"date-tme"`
		}](t),
		"input.text: the tag readOnly is only allowed in outputs": checked[struct {
			Text string `json:"text" readOnly:"true"`
		}](t),
		"input.text: the tag patternDescription has no effect": checked[struct {
			Text string `json:"text" pattern:"^[a-z]+$" patternDescription:"small letters"`
		}](t),
		"input.deep.count: the tag minLength": checked[struct {
			Deep map[string][]*inner `json:"deep"`
		}](t),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func checked[In any](t *testing.T) error {
	t.Helper()
	registry := new(jobs.Registry)
	jobs.Add(registry, jobs.Service{Name: "test"}, func(context.Context, In) (string, error) { return "", nil })
	_, err := NewValidator(registry)
	return err
}
