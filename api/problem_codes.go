package api

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// meaningOf maps the code of each problem to its explanation for clients.
var meaningOf = map[string]string{
	"bad-request":            "The request is malformed: its headers, its form, or JSON that cannot be parsed.",
	"unauthorized":           "Credentials are missing or incorrect.",
	"forbidden":              "The service is not allowed for the caller, or a page of another origin sent the request.",
	"not-found":              "There is no such path, job, service, delivery or key, or it belongs to another user.",
	"method-not-allowed":     "The path does not allow this method. The header Allow lists those it does.",
	"not-acceptable":         "The operation offers none of the media types in Accept.",
	"request-timeout":        "The request took too long to arrive.",
	"already-finished":       "The job has already ended, so it cannot be canceled.",
	"not-finished":           "The job has not ended. Wait for it, or cancel it first.",
	"job-failed":             "The job failed, so it has no output. The detail is the message of its error.",
	"job-canceled":           "The job was canceled, so it has no output.",
	"job-expired":            "The job expired before it started, so it has no output.",
	"deliveries-pending":     "A callback of the job is still pending. Use ?force=true to discard it.",
	"too-many-keys":          "The user has the maximum number of secrets. Revoke one first.",
	"job-removed":            "The job's record was deleted, or its retention period has ended.",
	"payload-too-large":      "The request body or a file is too large. The detail has the limit.",
	"unsupported-media-type": "The body has the wrong Content-Type, or a Content-Encoding.",
	"unknown-host":           "The Host header names a host that this server does not serve.",
	"invalid-input":          "Parameters or the body are invalid. The list errors has every mistake with its location.",
	"invalid-callback-url":   "The server does not call this URL. The detail has the reason.",
	"idempotency-key-reused": "The Idempotency-Key was used with a different request. Use a new key for each request.",
	"rate-limited":           "Too many requests. Repeat this one after Retry-After.",
	"queue-full":             "Too many jobs are queued. Repeat the request after Retry-After.",
	"internal":               "An error of the server. Its log has details under the request_id.",
	"shutting-down":          "The server is shutting down. Repeat the request after Retry-After.",
	"storage-full":           "The server has no space for files.",
	"unavailable":            "The database is away, or a limit of streams is reached. Repeat it after Retry-After.",
}

// submitCodes are the problems of operations that submit jobs.
var submitCodes = []string{"forbidden", "idempotency-key-reused", "rate-limited", "queue-full", "shutting-down"}

// operationCodes are the problems of single operations, by operation id.
var operationCodes = map[string][]string{
	"get-service":          {"forbidden"},
	"cancel-job":           {"already-finished"},
	"retry-job":            append([]string{"not-finished"}, submitCodes...),
	"get-result":           {"job-failed", "job-canceled", "job-expired"},
	"delete-job":           {"not-finished", "deliveries-pending"},
	"create-callback-key":  {"too-many-keys"},
	"rotate-callback-keys": {"too-many-keys"},
	"test-callback":        {"invalid-callback-url"},
	"ready":                {"unavailable", "shutting-down"},
}

// codesOf returns the codes of the problems that an operation can have, without those that any
// request can have, ordered by status.
func codesOf(o *operation) []string {
	codes := map[string]bool{"invalid-input": o.access != public}
	add := func(more ...string) {
		for _, code := range more {
			codes[code] = true
		}
	}
	if o.access != public {
		add("unauthorized")
	}
	if strings.Contains(o.path, "{") {
		add("not-found")
	}
	if strings.Contains(o.path, "{job}") {
		add("job-removed")
	}
	submits := strings.HasPrefix(o.id, "submit-")
	if _, hasBody := bodies[o.id]; o.method == http.MethodPost && (hasBody || submits) {
		add("bad-request", "payload-too-large", "unsupported-media-type")
	}
	if submits {
		add(submitCodes...)
		add("invalid-callback-url")
	}
	if o.uploads {
		add("storage-full")
	}
	add(operationCodes[o.id]...)
	maps.DeleteFunc(codes, func(_ string, possible bool) bool { return !possible })
	return slices.SortedFunc(maps.Keys(codes), compareCodes)
}

// compareCodes orders the codes of problems by status and then by name.
func compareCodes(x, y string) int {
	if statusOf[x] != statusOf[y] {
		return statusOf[x] - statusOf[y]
	}
	return strings.Compare(x, y)
}
