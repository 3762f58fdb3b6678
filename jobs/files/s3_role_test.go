package files_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"coatcheck/jobs/files"
	"coatcheck/jobs/jobstest"
)

// Without keys, the store uses the temporary keys of the role that the platform gives the process.
// Temporary keys of the configuration are sent with their session token.
func TestS3Role(t *testing.T) { // not parallel: it sets the environment
	store := jobstest.NewS3(t)
	var token atomic.Value
	see := jobstest.S3Fault(func(_ http.ResponseWriter, r *http.Request) bool {
		token.Store(r.Header.Get("X-Amz-Security-Token"))
		return false
	})
	store.Fail(see)
	platform := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"AccessKeyId": %q, "SecretAccessKey": %q, "Token": "of the role", "Expiration": %q}`,
			store.Config.AccessKey, store.Config.SecretKey, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(platform.Close)
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", platform.URL)

	role, temporary := store.Config, store.Config
	role.AccessKey, role.SecretKey = "", ""
	temporary.SessionToken = "of the configuration"
	for want, config := range map[string]files.S3Config{"of the role": role, "of the configuration": temporary, "": store.Config} {
		s := openS3(t, config, roomy)
		if _, err := s.Save(t.Context(), "job_01jdc4w0z7q9aaaaaaaaaaaaaa", "x", "", strings.NewReader("content")); err != nil {
			t.Fatal(err)
		}
		if got := token.Load(); got != want {
			t.Errorf("session token %q, want %q", got, want)
		}
	}
	platform.Close()
	if _, err := files.OpenS3(t.Context(), role, "test", roomy); err == nil || !strings.Contains(err.Error(), "set access_key and secret_key, or AWS_ACCESS_KEY_ID") {
		t.Errorf("without a role: %v", err)
	}
}
