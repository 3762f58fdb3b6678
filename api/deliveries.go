package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"coatcheck/api/problem"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/schema"
)

type deliveryList struct {
	Link string `header:"Link"`
	Body struct {
		Data       []queue.Delivery `json:"data" nullable:"false"`
		NextCursor *string          `json:"next_cursor" doc:"null when there are no more."`
	}
}

type deliveryResponse struct {
	Status int
	Body   queue.Delivery
}

type deliveriesRequest struct {
	Status       string      `query:"status" enum:"pending,delivered,failed" doc:"Only deliveries of this status."`
	Event        string      `query:"event" enum:"job.started,job.progress,job.retrying,job.succeeded,job.failed,job.canceled,job.expired,callback.test" doc:"Only deliveries of this event, among the newest 10,000."`
	Origin       string      `query:"origin" maxLength:"300" doc:"Only deliveries to this scheme, host and port, among the newest 10,000." example:"https://client.example"`
	Text         string      `query:"text" maxLength:"200" doc:"Only deliveries with this text in their URL, in any case, among the newest 10,000."`
	CreatedAfter requestTime `query:"created_after"`
	Limit        int         `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Cursor       string      `query:"cursor" doc:"The next_cursor of the page before."`
}

type deliveryRef struct {
	Delivery string `path:"delivery" doc:"The id of the delivery, which its receiver knows as the webhook-id."`
}

type bodyRequest struct {
	RawBody []byte `contentType:"application/json"`
}

type redeliverBody struct {
	Status       string      `json:"status" enum:"delivered,failed" doc:"Which deliveries to send again." example:"failed"`
	Event        string      `json:"event,omitempty" enum:"job.started,job.progress,job.retrying,job.succeeded,job.failed,job.canceled,job.expired,callback.test" doc:"Only those of this event."`
	Origin       string      `json:"origin,omitempty" maxLength:"300" doc:"Only those to this scheme, host and port." example:"https://client.example"`
	CreatedAfter requestTime `json:"created_after" format:"date-time" doc:"Only those of events since then."`
}

type redeliverAnswer struct {
	Body struct {
		Count int `json:"count" doc:"How many are sent again. When it is 1000, there may be more: ask again when these are delivered."`
	}
}

type callbackTestBody struct {
	URL string `json:"url" doc:"The receiver to try out." example:"https://client.example/hooks/jobs"`
}

// addDeliveries adds the operations that list, show, resend and test callbacks.
func (a *API) addDeliveries() {
	register(a, operation{
		id: "list-job-deliveries", method: http.MethodGet, path: "/v1/jobs/{job}/deliveries",
		summary: "List a job's callbacks", access: userOnly, tag: "callbacks",
	}, a.jobDeliveries)
	register(a, operation{
		id: "list-deliveries", method: http.MethodGet, path: "/v1/deliveries", summary: "List callbacks, newest first",
		access: userOnly, tag: "callbacks",
	}, a.listDeliveries)
	register(a, operation{
		id: "get-delivery", method: http.MethodGet, path: "/v1/deliveries/{delivery}",
		summary: "Get a callback", access: userOnly, tag: "callbacks",
	}, func(ctx context.Context, req *deliveryRef) (*deliveryResponse, error) {
		d, err := a.FindDelivery(ctx, req.Delivery)
		return &deliveryResponse{http.StatusOK, d}, err
	})
	register(a, operation{
		id: "redeliver", method: http.MethodPost, path: "/v1/deliveries/{delivery}/redeliver",
		summary: "Send a callback again", access: userOnly, tag: "callbacks", status: http.StatusAccepted,
		description: "With the same id and body, and the whole schedule of attempts before it.",
	}, func(ctx context.Context, req *deliveryRef) (*deliveryResponse, error) {
		d, err := a.FindDelivery(ctx, req.Delivery)
		if err == nil {
			d, err = a.Queue.Redeliver(ctx, d.ID)
		}
		return &deliveryResponse{http.StatusAccepted, d}, err
	})
	register(a, operation{
		id: "redeliver-all", method: http.MethodPost, path: "/v1/deliveries/redeliver",
		summary: "Send many callbacks again", access: userOnly, tag: "callbacks", status: http.StatusAccepted,
		description: "The newest 1000 that are chosen, 50 a second, behind whatever is new.",
	}, func(ctx context.Context, req *bodyRequest) (*redeliverAnswer, error) {
		body, err := bodyOf[redeliverBody](ctx, a, req.RawBody)
		if err != nil {
			return nil, err
		}
		n, err := a.Queue.RedeliverAll(ctx, queue.DeliveryFilter{
			Owner: a.OwnerFilter(ctx), Status: body.Status, Event: body.Event, Origin: body.Origin,
			CreatedAfter: body.CreatedAfter.Time,
		})
		response := new(redeliverAnswer)
		response.Body.Count = n
		return response, err
	})
	register(a, operation{
		id: "test-callback", method: http.MethodPost, path: "/v1/callbacks/test", summary: "Send a test callback",
		access: userOnly, tag: "callbacks", status: http.StatusAccepted,
		description: "Sends a signed callback.test to the URL, once. What came of it stands in the delivery.",
	}, func(ctx context.Context, req *bodyRequest) (*deliveryResponse, error) {
		body, err := bodyOf[callbackTestBody](ctx, a, req.RawBody)
		if err != nil {
			return nil, err
		}
		url, err := a.Guard.CheckURL(body.URL)
		if err != nil {
			return nil, problem.New("invalid-callback-url", err.Error(),
				schema.ProblemError{Location: "body.url", Message: err.Error()})
		}
		if err := a.CheckMaySubmit(ctx); err != nil {
			return nil, err
		}
		d, err := a.Queue.SendTest(ctx, InfoOf(ctx).User.Name, url)
		return &deliveryResponse{http.StatusAccepted, d}, err
	})
}

// OwnerFilter returns the user whose jobs the caller may see, or "" if the
// caller may see the jobs of all users.
func (a *API) OwnerFilter(ctx context.Context) string {
	if user := InfoOf(ctx).User; !user.Admin {
		return user.Name
	}
	return ""
}

// FindDelivery returns a delivery if the caller may see it.
func (a *API) FindDelivery(ctx context.Context, id string) (queue.Delivery, error) {
	d, err := a.Queue.Delivery(ctx, id)
	if err != nil {
		return queue.Delivery{}, err
	}
	if owner := a.OwnerFilter(ctx); owner != "" && owner != d.Owner {
		return queue.Delivery{}, queue.ErrNoDelivery
	}
	return d, nil
}

// jobDeliveries lists the callbacks of one job. There is no pagination, because
// a job has few callbacks.
func (a *API) jobDeliveries(ctx context.Context, req *struct {
	Job string `path:"job" doc:"The job's id or token."`
},
) (*deliveryList, error) {
	job, err := a.OwnedJob(ctx, req.Job)
	if err != nil {
		return nil, err
	}
	found, err := a.Queue.Deliveries(ctx, queue.DeliveryFilter{JobID: job.ID, Limit: 200})
	if err != nil {
		return nil, err
	}
	list := new(deliveryList)
	list.Body.Data = found
	return list, nil
}

func (a *API) listDeliveries(ctx context.Context, req *deliveriesRequest) (*deliveryList, error) {
	filter := queue.DeliveryFilter{
		Owner: a.OwnerFilter(ctx), Status: req.Status, Event: req.Event, Origin: req.Origin, Text: req.Text,
		CreatedAfter: req.CreatedAfter.Time, Limit: req.Limit + 1,
	}
	if err := checkTexts(map[string]string{"origin": req.Origin, "text": req.Text}); err != nil {
		return nil, err
	}
	query := req.query()
	var err error
	if filter.Before, err = a.OpenCursor(req.Cursor, "deliveries", query); err != nil {
		return nil, err
	}
	found, err := a.Queue.Deliveries(ctx, filter)
	if err != nil {
		return nil, err
	}
	list := new(deliveryList)
	list.Body.Data = found
	if len(found) > req.Limit {
		list.Body.Data = found[:req.Limit]
		cursor, link := a.nextPage(ctx, "deliveries", found[req.Limit-1].ID, req.Limit, query)
		list.Body.NextCursor, list.Link = &cursor, link
	}
	return list, nil
}

// query returns the filters of the request in canonical form, for cursors and
// links.
func (req *deliveriesRequest) query() url.Values {
	q := make(url.Values)
	for name, value := range map[string]string{
		"status": req.Status, "event": req.Event, "origin": req.Origin, "text": req.Text,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if !req.CreatedAfter.IsZero() {
		q.Set("created_after", req.CreatedAfter.UTC().Format(time.RFC3339Nano))
	}
	return q
}
