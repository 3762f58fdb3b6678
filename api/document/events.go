// Package document makes the parts of the OpenAPI document that huma does not know: events, examples,
// and what the document shows to a user.
package document

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

// Media types of event streams.
const (
	EventStream = "text/event-stream"
	NDJSON      = "application/x-ndjson"
)

// The data of the events in a stream, for the OpenAPI document. Tests validate real streams
// against these schemas.
type (
	snapshotEvent struct {
		Type      string   `json:"type" enum:"snapshot"`
		JobID     string   `json:"job_id,omitempty" doc:"The job of the event. Only in streams of many jobs."`
		Job       jobs.Job `json:"job"`
		Truncated bool     `json:"truncated,omitempty" doc:"It replaces missed events, so log lines may be missing."`
	}
	statusEvent struct {
		Type            string      `json:"type" enum:"status"`
		JobID           string      `json:"job_id,omitempty" doc:"The job of the event. Only in streams of many jobs."`
		Status          jobs.Status `json:"status" enum:"scheduled,queued,running,retrying"`
		Attempt         int         `json:"attempt" doc:"The number of the latest attempt, from 1; 0 before the first."`
		Step            int         `json:"step" doc:"The number of the current step, from 1."`
		CancelRequested bool        `json:"cancel_requested" doc:"Whether the running job was asked to stop."`
		At              store.Time  `json:"at" format:"date-time"`
	}
	progressEvent struct {
		Type    string     `json:"type" enum:"progress"`
		JobID   string     `json:"job_id,omitempty" doc:"The job of the event. Only in streams of many jobs."`
		Percent float64    `json:"percent" minimum:"0" maximum:"100"`
		Message string     `json:"message" doc:"For people."`
		Data    any        `json:"data" doc:"For programs; null if the service reports none."`
		At      store.Time `json:"at" format:"date-time"`
	}
	logEvent struct {
		Type    string     `json:"type" enum:"log"`
		JobID   string     `json:"job_id,omitempty" doc:"The job of the event. Only in streams of many jobs."`
		Level   string     `json:"level" enum:"info,warning"`
		Message string     `json:"message"`
		Line    uint64     `json:"line" doc:"The number of the line in the job's log."`
		At      store.Time `json:"at" format:"date-time"`
	}
	outputEvent struct {
		Type   string `json:"type" enum:"output"`
		JobID  string `json:"job_id,omitempty" doc:"The job of the event. Only in streams of many jobs."`
		Index  int    `json:"index" doc:"The number of the chunk in the attempt, from 0."`
		Offset int    `json:"offset" doc:"Where the chunk begins, in bytes."`
		Chunk  string `json:"chunk" doc:"A part of the output."`
	}
	endEvent struct {
		Type  string   `json:"type" enum:"end"`
		JobID string   `json:"job_id,omitempty" doc:"The job of the event. Only in streams of many jobs."`
		Job   jobs.Job `json:"job"`
	}
	pingEvent struct{}
)

// eventNames are the names of events, in the order of a job's life, with the types of their data.
var eventNames = []struct {
	name string
	data reflect.Type
}{
	{"snapshot", reflect.TypeFor[snapshotEvent]()},
	{"status", reflect.TypeFor[statusEvent]()},
	{"progress", reflect.TypeFor[progressEvent]()},
	{"log", reflect.TypeFor[logEvent]()},
	{"output", reflect.TypeFor[outputEvent]()},
	{"end", reflect.TypeFor[endEvent]()},
}

// AddEvents adds the schemas of events to the OpenAPI document: Event is the data of one,
// and EventLine a line of an NDJSON stream.
func AddEvents(registry huma.Registry) {
	event := &huma.Schema{
		Description:   "The data of an event.",
		Discriminator: &huma.Discriminator{PropertyName: "type", Mapping: make(map[string]string)},
	}
	line := &huma.Schema{Description: "A line of an event stream as application/x-ndjson."}
	for _, e := range eventNames {
		data := registry.Schema(e.data, true, "")
		event.OneOf = append(event.OneOf, data)
		event.Discriminator.Mapping[e.name] = data.Ref
		line.OneOf = append(line.OneOf, eventLine(e.name, data))
	}
	ping := registry.Schema(reflect.TypeFor[pingEvent](), true, "")
	registry.SchemaFromRef(ping.Ref).Description = "Nothing happened for a while. A ping has no id."
	line.OneOf = append(line.OneOf, eventLine("ping", ping))
	registry.Map()["Event"], registry.Map()["EventLine"] = event, line
}

// eventLine returns the schema of a line with an event of this name.
func eventLine(name string, data *huma.Schema) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: false, Required: []string{"event", "data"},
		Properties: map[string]*huma.Schema{
			"id":    {Type: huma.TypeString, Description: "Where to resume the stream, as Last-Event-ID."},
			"event": {Type: huma.TypeString, Enum: []any{name}},
			"data":  data,
		},
	}
}

// StreamTypes describes a response with events. JSON Schema has contentSchema for what is inside a
// text.
func StreamTypes() map[string]*huma.MediaType {
	stream := func(media, schema, description string) *huma.MediaType {
		return &huma.MediaType{Schema: &huma.Schema{
			Type: huma.TypeString, Description: description,
			Extensions: map[string]any{
				"contentMediaType": media, "contentSchema": map[string]any{"$ref": "#/components/schemas/" + schema},
			},
		}}
	}
	return map[string]*huma.MediaType{
		EventStream: stream(EventStream, "Event",
			"Server-Sent Events. The data of each is an Event, except that of a ping, which is {}."),
		NDJSON: stream(NDJSON, "EventLine", "A stream of lines; each is an EventLine."),
	}
}
