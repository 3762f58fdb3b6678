package queue

import (
	"encoding/json"
	"testing"

	"coatcheck/jobs"
)

func TestResolve(t *testing.T) {
	const output = `{"a": {"b/c": [10, 20, {"~": 9007199254740993}]}, "": "empty", "null": null}`
	tests := []struct{ name, input, want string }{
		{"nothing to fill", `{"n": 1}`, `{"n": 1}`},
		{"all", `{"$output": ""}`, `{"":"empty","a":{"b/c":[10,20,{"~":9007199254740993}]},"null":null}`},
		{"deep, and numbers keep their digits", `{"n": [{"$output": "/a/b~1c/2/~0"}]}`, `{"n":[9007199254740993]}`},
		{"array element", `{"$output": "/a/b~1c/1"}`, `20`},
		{"empty key", `{"$output": "/"}`, `"empty"`},
		{"null", `{"n": {"$output": "/null"}}`, `{"n":null}`},
		{"more than the mark is no mark", `{"$output": "", "x": 1}`, `{"$output":"","x":1}`},
		{"no string is no mark", `{"$output": 1}`, `{"$output":1}`},
		{"missing", `{"$output": "/a/x"}`, ``},
		{"beyond the array", `{"$output": "/a/b~1c/3"}`, ``},
		{"leading zero", `{"$output": "/a/b~1c/01"}`, ``},
		{"below a scalar", `{"$output": "/null/x"}`, ``},
		{"no slash", `{"$output": "a"}`, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := jobs.FillInput([]byte(tt.input), []byte(output), jobs.DefaultMaxOutput)
			if string(got) != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func FuzzResolve(f *testing.F) {
	f.Add([]byte(`{"a": {"$output": "/x/0"}}`), []byte(`{"x": [1, 2]}`))
	f.Add([]byte(`[{"$output": ""}]`), []byte(`null`))
	f.Fuzz(func(t *testing.T, input, output []byte) {
		if !json.Valid(input) || !json.Valid(output) {
			return
		}
		if got, err := jobs.FillInput(input, output, jobs.DefaultMaxOutput); err == nil && !json.Valid(got) {
			t.Errorf("resolve(%s, %s) is not JSON: %s", input, output, got)
		}
	})
}
