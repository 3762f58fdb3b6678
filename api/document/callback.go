package document

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

// callbackBody is the body of a callback, for the OpenAPI document.
type callbackBody struct {
	Type      string       `json:"type" enum:"job.started,job.progress,job.retrying,job.succeeded,job.failed,job.canceled,job.expired"`
	Timestamp store.Time   `json:"timestamp" format:"date-time"`
	Data      callbackData `json:"data"`
}

// callbackData is the data of a callback.
type callbackData struct {
	Job      jobs.Job `json:"job"`
	Account  string   `json:"account" doc:"The user who submitted the job."`
	State    string   `json:"state,omitempty" doc:"The callback_state of the submission."`
	Sequence uint64   `json:"sequence" doc:"Grows with each event of the job."`
}

// Callback describes the requests to callback_url for the OpenAPI
// document.
func Callback(registry huma.Registry) map[string]*huma.PathItem {
	schema := registry.Schema(reflect.TypeFor[callbackBody](), true, "Callback")
	header := func(name, description string) *huma.Param {
		return &huma.Param{
			Name: name, In: "header", Required: true, Description: description,
			Schema: &huma.Schema{Type: huma.TypeString},
		}
	}
	return map[string]*huma.PathItem{"{$request.body#/callback_url}": {Post: &huma.Operation{
		Method: http.MethodPost, Summary: "Tell of a job", Tags: []string{"callbacks"},
		Description: "Signed by Standard Webhooks 1.0 and sent again until the answer is 2xx.",
		Parameters: []*huma.Param{
			header("webhook-id", "The same for every attempt."),
			header("webhook-timestamp", "When this attempt was made, in seconds since 1970."),
			header("webhook-signature", "v1 (HMAC-SHA256) and v1a (Ed25519) signatures."),
		},
		RequestBody: &huma.RequestBody{
			Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: schema}},
		},
		Security:  []map[string][]string{}, // the receiver defines its own security
		Responses: map[string]*huma.Response{"2XX": {Description: "The receiver has it."}},
	}}}
}
