package problem

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// statusOf maps the code of each problem to its HTTP status.
var statusOf = map[string]int{
	"bad-request":            http.StatusBadRequest,
	"unauthorized":           http.StatusUnauthorized,
	"forbidden":              http.StatusForbidden,
	"not-found":              http.StatusNotFound,
	"method-not-allowed":     http.StatusMethodNotAllowed,
	"not-acceptable":         http.StatusNotAcceptable,
	"request-timeout":        http.StatusRequestTimeout,
	"already-finished":       http.StatusConflict,
	"not-finished":           http.StatusConflict,
	"job-failed":             http.StatusConflict,
	"job-canceled":           http.StatusConflict,
	"job-expired":            http.StatusConflict,
	"deliveries-pending":     http.StatusConflict,
	"too-many-keys":          http.StatusConflict,
	"job-removed":            http.StatusGone,
	"payload-too-large":      http.StatusRequestEntityTooLarge,
	"unsupported-media-type": http.StatusUnsupportedMediaType,
	"unknown-host":           http.StatusMisdirectedRequest,
	"invalid-input":          http.StatusUnprocessableEntity,
	"invalid-callback-url":   http.StatusUnprocessableEntity,
	"idempotency-key-reused": http.StatusUnprocessableEntity,
	"rate-limited":           http.StatusTooManyRequests,
	"queue-full":             http.StatusTooManyRequests,
	"internal":               http.StatusInternalServerError,
	"shutting-down":          http.StatusServiceUnavailable,
	"storage-full":           http.StatusInsufficientStorage,
	"unavailable":            http.StatusServiceUnavailable,
}

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

// Codes returns the codes of all problems, ordered by status and then by name.
func Codes() []string { return slices.SortedFunc(maps.Keys(statusOf), CompareCodes) }

// Meaning returns the explanation of a code for clients.
func Meaning(code string) string { return meaningOf[code] }

// Status returns the HTTP status of a code.
func Status(code string) int { return statusOf[code] }

// CompareCodes orders the codes of problems by status and then by name.
func CompareCodes(x, y string) int {
	if statusOf[x] != statusOf[y] {
		return statusOf[x] - statusOf[y]
	}
	return strings.Compare(x, y)
}
