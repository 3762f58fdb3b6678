package api_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"coatcheck/jobs/jobstest"
)

// documentSchemas compiles the schemas of the OpenAPI document by name.
func documentSchemas(t *testing.T, f *fixture) func(name string) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(f.do(t, "GET", "/openapi.json", "").body))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("file:///openapi.json", document); err != nil {
		t.Fatal(err)
	}
	return func(name string) *jsonschema.Schema {
		t.Helper()
		s, err := compiler.Compile("file:///openapi.json#/components/schemas/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// fits reports why a text does not match a schema.
func fits(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return s.Validate(v)
}

// The events of streams, of one job and of many, match their schemas in the document.
func TestDocumentEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{})
	line := documentSchemas(t, f)("EventLine")
	job := f.submit(t, "hold", `{"input": {}}`)
	close(f.hold)
	other := f.submit(t, "fail", `{"input": {}}`)
	for _, test := range []struct {
		path  string
		names []string
	}{
		{"/v1/jobs/" + job.ID + "/events?after=1-0", []string{"status", "progress", "log", "output", "end"}},
		{"/v1/jobs/" + other.ID + "/events", []string{"snapshot", "end"}},
		{"/v1/events?job=" + job.ID + "&job=" + other.ID, []string{"snapshot", "end"}},
	} {
		got := f.do(t, "GET", test.path, "", "Accept: application/x-ndjson")
		seen := make(map[string]bool)
		for lines := bufio.NewScanner(strings.NewReader(got.body)); lines.Scan(); {
			if err := fits(t, line, lines.Text()); err != nil {
				t.Errorf("%s: %v: %s", test.path, err, lines.Text())
			}
			var event struct{ Event string }
			if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
				t.Fatal(err)
			}
			seen[event.Event] = true
		}
		for _, name := range test.names {
			if !seen[name] {
				t.Errorf("%s: no %s in %s", test.path, name, got.body)
			}
		}
	}
	for _, wrong := range []string{
		`{"event":"end","data":{"type":"end"}}`, `{"event":"log","data":{}}`, `{"event":"ping","data":{"type":"log"}}`, `{"event":"progress","data":{"type":"end"}}`,
	} {
		if fits(t, line, wrong) == nil {
			t.Errorf("%s is an EventLine", wrong)
		}
	}
}

// The jobs of a service fit its schema, whose output is that of the service.
func TestDocumentOutputs(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{})
	schema := documentSchemas(t, f)
	sum, text := schema("Job.maths.add"), schema("Job.sleep")
	a := f.do(t, "POST", "/v1/services/maths.add/jobs", `{"input": {"a": 3, "b": 4}}`, "Prefer: wait=20")
	if err := fits(t, sum, a.body); err != nil || !strings.Contains(a.body, `"output":7`) {
		t.Errorf("%v: %s", err, a.body)
	}
	if fits(t, text, a.body) == nil {
		t.Errorf("a number is the output of sleep: %s", a.body)
	}
	a = f.do(t, "POST", "/v1/services/maths.div/jobs", `{"input": {"a": 3, "b": 0}}`, "Prefer: wait=20")
	if err := fits(t, schema("Job.maths.div"), a.body); err != nil || !strings.Contains(a.body, `"failed"`) {
		t.Errorf("%v: %s", err, a.body)
	}
	a = f.do(t, "POST", "/v1/services/maths.add/jobs", `{"input": {}}`)
	if err := fits(t, schema("Problem"), a.body); err != nil || a.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("%v: %s", err, a.body)
	}
}

// Examples of requests and responses are valid, and each tag is described.
func TestDocumentExamples(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{services: addBuild})
	schema := documentSchemas(t, f)
	type content map[string]struct {
		Schema struct {
			Ref string `json:"$ref"`
		}
		Example json.RawMessage
	}
	var document struct {
		Tags  []struct{ Name, Description string }
		Paths map[string]map[string]struct {
			Tags        []string
			RequestBody struct{ Content content }
			Responses   map[string]struct{ Content content }
			Problems    []string `json:"x-problems"`
		}
		Components struct {
			Schemas map[string]struct{ Examples []json.RawMessage }
		}
	}
	if err := json.Unmarshal([]byte(f.do(t, "GET", "/openapi.json", "").body), &document); err != nil {
		t.Fatal(err)
	}
	described := make(map[string]bool)
	for _, tag := range document.Tags {
		described[tag.Name] = tag.Description != ""
	}
	checked := make(map[string]int)
	check := func(kind, name string, example json.RawMessage) {
		if checked[kind]++; example != nil {
			if err := fits(t, schema(name), string(example)); err != nil {
				t.Errorf("%s: %v: %s", kind, err, example)
			}
		}
	}
	for path, methods := range document.Paths {
		for method, op := range methods {
			if len(op.Tags) != 1 || !described[op.Tags[0]] {
				t.Errorf("%s %s: tags %v", method, path, op.Tags)
			}
			submits := strings.HasPrefix(path, "/v1/services/") && method == "post"
			if submits && !slices.Contains(op.Problems, "queue-full") {
				t.Errorf("%s: problems %v", path, op.Problems)
			}
			body := op.RequestBody.Content["application/json"]
			if submits && (body.Example == nil || op.Responses["202"].Content["application/json"].Example == nil) {
				t.Errorf("%s has no examples", path)
			}
			if body.Example != nil {
				check("request of "+path, strings.TrimPrefix(body.Schema.Ref, "#/components/schemas/"), body.Example)
			}
			for status, response := range op.Responses {
				if c := response.Content["application/json"]; c.Example != nil {
					check(status+" of "+path, strings.TrimPrefix(c.Schema.Ref, "#/components/schemas/"), c.Example)
				}
			}
		}
	}
	for name, s := range document.Components.Schemas {
		for _, example := range s.Examples {
			check("schema "+name, name, example)
		}
	}
	for _, want := range []string{"request of /v1/services/build/jobs", "200 of /v1/services/build/jobs", "schema Job", "schema Problem"} {
		if checked[want] == 0 {
			t.Errorf("%s was not checked", want)
		}
	}
}
