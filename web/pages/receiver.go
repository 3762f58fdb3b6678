package pages

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"coatcheck/api"
	"coatcheck/api/problem"
	"coatcheck/jobs"
	"coatcheck/jobs/receivers"
	"coatcheck/jobs/schema"
	"coatcheck/web"
)

// receiverRefresh is the refresh interval of the test receiver's page, in
// seconds.
const receiverRefresh = 1

// Descriptions of the test receiver's options.
var (
	answerNames = map[string]string{
		receivers.AnswerOK: "200 OK", receivers.AnswerError: "500: the sender retries",
		receivers.AnswerGone:     "410: the sender does not retry",
		receivers.AnswerRedirect: "302: redirects are not followed", receivers.AnswerSlow: "200 after 5 seconds",
		receivers.AnswerNever: "none: the sender times out",
	}
	damageNames = map[string]string{
		receivers.DamageNone: "callbacks are unchanged", receivers.DamageBody: "the body is modified",
		receivers.DamageTime: "callbacks are replayed ten minutes later",
	}
)

// receiverPage shows the caller's test receiver.
func (a *Pages) receiverPage(r *http.Request) (string, any, error) {
	view, err := a.receiverView(r, "")
	return "receiver", view, err
}

// receiverView returns the received callbacks. If secret is not empty, it
// verifies their signatures with that secret.
func (a *Pages) receiverView(r *http.Request, secret string) (web.ReceiverPage, error) {
	ctx := r.Context()
	v := web.ReceiverPage{Page: a.pageFrame(ctx, "Test receiver", "/deliveries")}
	receiver, err := a.Queue.Receivers.Mine(ctx, api.InfoOf(ctx).User.Name)
	if errors.Is(err, receivers.ErrNoReceiver) {
		return v, nil
	}
	if err != nil {
		return v, err
	}
	v.URL, v.Refresh = receiver.URL, receiverRefresh
	for _, answer := range receivers.Answers {
		v.Answers = append(v.Answers, web.Option{
			Value: answer, Name: answerNames[answer], Chosen: answer == receiver.Answer,
		})
	}
	for _, damage := range receivers.Damages {
		v.Damages = append(v.Damages, web.Option{
			Value: damage, Name: damageNames[damage], Chosen: damage == receiver.Damage,
		})
	}
	if secret != "" {
		v.Refresh = 0 // a refresh would lose the verification results
	}
	seen := make(map[string]int)
	for _, c := range receiver.Received {
		seen[c.Header.Get("Webhook-Id")]++
	}
	for _, c := range receiver.Received {
		row := receivedRow(&c)
		seen[row.MessageID]--
		row.Again = seen[row.MessageID] > 0
		if secret != "" {
			row.Checked = "the signature is valid."
			if err := c.Verify(secret); err != nil {
				row.Checked = err.Error()
			}
		}
		v.Received = append(v.Received, row)
	}
	return v, nil
}

func receivedRow(c *receivers.Received) web.ReceivedRow {
	row := web.ReceivedRow{
		ID: c.ID, At: c.At.Time, Event: "callback", MessageID: c.Header.Get("Webhook-Id"), Verdict: c.Verdict,
		Answered: strconv.Itoa(c.StatusCode),
	}
	if c.StatusCode == 0 {
		row.Answered = "none"
	}
	var body struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(c.Body, &body) == nil && body.Type != "" {
		row.Event = body.Type
	}
	var text bytes.Buffer
	if json.Indent(&text, c.Body, "", "  ") != nil {
		text.Reset()
		text.WriteString(strings.ToValidUTF8(string(c.Body), "\uFFFD"))
	}
	row.Request = "POST / HTTP/1.1\n" + headerText(c.Header) + "\n" + text.String()
	return row
}

// checkReceived verifies the received callbacks with a secret or public key
// from the form, which is not stored.
func (a *Pages) checkReceived(w http.ResponseWriter, r *http.Request) {
	if !a.authorizePage(w, r) || !a.readForm(w, r) {
		return
	}
	secret := strings.TrimSpace(r.PostForm.Get("secret"))
	view, err := a.receiverView(r, secret)
	if err != nil {
		a.ProblemPage(w, r, err)
		return
	}
	if secret == "" || len(secret) > 200 || !utf8.ValidString(secret) {
		view.KeyError = "A key starts with whsec_ or whpk_."
	}
	view.Checking = true
	a.render(w, r, http.StatusOK, "receiver", view)
}

func (a *Pages) newReceiver(r *http.Request) (string, error) {
	return "/receiver", a.Queue.Receivers.Create(r.Context(), api.InfoOf(r.Context()).User.Name)
}

func (a *Pages) setReceiver(r *http.Request) (string, error) {
	err := a.Queue.Receivers.Set(r.Context(), api.InfoOf(r.Context()).User.Name, r.PostForm.Get("answer"),
		r.PostForm.Get("damage"))
	if e, ok := errors.AsType[*jobs.FieldError](err); ok {
		return "", problem.Invalid([]schema.ProblemError{{Location: e.Field, Message: e.Message}})
	}
	return "/receiver", err
}

// testReceiver sends a test callback to the receiver.
func (a *Pages) testReceiver(r *http.Request) (string, error) {
	ctx := r.Context()
	receiver, err := a.Queue.Receivers.Mine(ctx, api.InfoOf(ctx).User.Name)
	if err != nil {
		return "", err
	}
	if err := a.CheckMaySubmit(ctx); err != nil {
		return "", err
	}
	_, err = a.Queue.SendTest(ctx, api.InfoOf(ctx).User.Name, receiver.URL)
	return "/receiver", err
}
