package api

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/api/problem"
	"coatcheck/jobs"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/schema"
)

type listRequest struct {
	Service       string      `query:"service" doc:"Only jobs of this service."`
	Status        []string    `query:"status" enum:"scheduled,queued,running,retrying,succeeded,failed,canceled,expired" doc:"Only jobs of these statuses, separated by commas. Can be repeated."`
	Tag           string      `query:"tag" doc:"Only jobs with this tag."`
	Text          string      `query:"text" maxLength:"200" doc:"Only jobs with this text in the beginning of their input or in their error's message, in any case, among the newest 10,000 jobs."`
	CreatedAfter  requestTime `query:"created_after"`
	CreatedBefore requestTime `query:"created_before"`
	Limit         int         `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Cursor        string      `query:"cursor" doc:"The next_cursor of the page before."`
}

type jobList struct {
	Link string `header:"Link"`
	Body struct {
		Data       []jobs.Job `json:"data" nullable:"false"`
		NextCursor *string    `json:"next_cursor" doc:"null when there are no more."`
	}
}

func (a *API) listJobs(ctx context.Context, req *listRequest) (*jobList, error) {
	filter := queue.Filter{
		Owner: a.OwnerFilter(ctx), Service: req.Service, Tag: req.Tag, Text: req.Text, CreatedAfter: req.CreatedAfter.Time,
		CreatedBefore: req.CreatedBefore.Time, Limit: req.Limit + 1,
	}
	slices.Sort(req.Status)
	req.Status = slices.Compact(req.Status)
	for _, status := range req.Status {
		filter.Statuses = append(filter.Statuses, jobs.Status(status))
	}
	if err := checkTexts(map[string]string{"service": req.Service, "tag": req.Tag, "text": req.Text}); err != nil {
		return nil, err
	}
	query := req.query()
	var err error
	if filter.Before, err = a.OpenCursor(req.Cursor, "jobs", query); err != nil {
		return nil, err
	}
	found, err := a.Queue.List(ctx, filter)
	if err != nil {
		return nil, err
	}
	list := new(jobList)
	list.Body.Data = []jobs.Job{}
	for i, job := range found {
		if i == req.Limit {
			cursor, link := a.nextPage(ctx, "jobs", found[i-1].ID, req.Limit, query)
			list.Body.NextCursor, list.Link = &cursor, link
			break
		}
		list.Body.Data = append(list.Body.Data, job.Closed(InfoOf(ctx).BaseURL).WithoutInput())
	}
	return list, nil
}

// checkTexts returns an error for query parameters that no database stores.
func checkTexts(parameters map[string]string) error {
	var errs []schema.ProblemError
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		if value := parameters[name]; strings.ContainsRune(value, 0) || !utf8.ValidString(value) {
			errs = append(errs, schema.ProblemError{Location: "query." + name, Message: "expected text in UTF-8 without NUL"})
		}
	}
	if errs != nil {
		return problem.Invalid(errs)
	}
	return nil
}

// OpenCursor returns the id after which a page begins. It rejects the cursor of
// another list or of a list with other filters.
func (a *API) OpenCursor(cursor, list string, query url.Values) (before string, err error) {
	if cursor == "" {
		return "", nil
	}
	sealed, ok := a.Queue.Keys.Open(cursor)
	before, of, _ := strings.Cut(string(sealed), "\n")
	if !ok || of != list+"?"+query.Encode() {
		return "", problem.Invalid([]schema.ProblemError{{
			Location: "query.cursor", Message: "expected the next_cursor of a list with the same filters",
		}})
	}
	return before, nil
}

// SealCursor returns a cursor for [API.openCursor].
func (a *API) SealCursor(after, list string, query url.Values) string {
	return a.Queue.Keys.Seal([]byte(after + "\n" + list + "?" + query.Encode()))
}

// nextPage returns the cursor of the page after the given id, and the Link
// header for that page.
func (a *API) nextPage(ctx context.Context, list, after string, limit int, query url.Values) (cursor, link string) {
	cursor = a.SealCursor(after, list, query)
	query.Set("cursor", cursor)
	query.Set("limit", strconv.Itoa(limit))
	return cursor, "<" + InfoOf(ctx).BaseURL + "/v1/" + list + "?" + query.Encode() + `>; rel="next"`
}

// query returns the filters of the request in canonical form, with sorted
// statuses, for cursors and links.
func (req *listRequest) query() url.Values {
	q := make(url.Values)
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("service", req.Service)
	set("status", strings.Join(req.Status, ","))
	set("tag", req.Tag)
	set("text", req.Text)
	if !req.CreatedAfter.IsZero() {
		set("created_after", req.CreatedAfter.UTC().Format(time.RFC3339Nano))
	}
	if !req.CreatedBefore.IsZero() {
		set("created_before", req.CreatedBefore.UTC().Format(time.RFC3339Nano))
	}
	return q
}

// A requestTime is a time in a request. In a query, it accepts a space instead
// of the + of a time zone, because form decoding turns + into a space.
type requestTime struct{ time.Time }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (m *requestTime) UnmarshalText(text []byte) (err error) {
	s := string(text)
	if i := len(s) - len(" 00:00"); i > 0 && s[i] == ' ' && strings.ContainsAny(s[:i], "Tt") {
		s = s[:i] + "+" + s[i+1:]
	}
	m.Time, err = schema.ParseTime(s)
	return err
}

// UnmarshalJSON implements [encoding/json.Unmarshaler].
func (m *requestTime) UnmarshalJSON(text []byte) error {
	return m.UnmarshalText([]byte(strings.Trim(string(text), `"`)))
}

// Schema implements [huma.SchemaProvider]. The schema has no format because
// huma would check it before UnmarshalText, and more strictly.
func (*requestTime) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Examples: []any{schema.TimeExample}}
}

// describeTimes adds the date-time format to time parameters in the OpenAPI
// document.
func describeTimes(op *huma.Operation) {
	for _, p := range op.Parameters {
		if slices.Contains(p.Schema.Examples, any(schema.TimeExample)) {
			described := *p.Schema
			described.Format, p.Schema = "date-time", &described
		}
	}
}
