package jobstest_test

import (
	"strings"
	"testing"

	"coatcheck/jobs/jobstest"
)

func TestSecrets(t *testing.T) {
	t.Parallel()
	for what, line := range map[string]string{
		"job's token":       "path=/v1/jobs/job_06fa0000000000000000000000.abcdefgh0123456789jkmnpqrs/events",
		"API key":           "key ck_" + strings.Repeat("a", 43) + " is unknown",
		"signing key":       "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"credentials":       `headers="map[Authorization:[Basic YWxpY2U6d29uZGVy]]"`,
		"password in a URL": "dial postgres://coatcheck:secret@db/coatcheck",
		"password's hash":   "alice: pbkdf2:sha256:150000$salt$aa",
		"S3 secret key":     "files.s3.secret_key is " + jobstest.S3Secret,
		"S3 signature":      "Authorization: AWS4-HMAC-SHA256 Credential=AKIATEST/20260101/us-east-1/s3/aws4_request",
		"cookie":            "Cookie: __Host-coatcheck_session=ABCDEF",
	} {
		found := jobstest.Secrets(line)
		if len(found) != 1 || !strings.HasPrefix(found[0], what) {
			t.Errorf("%s: found %q", line, found)
		}
	}
	for _, line := range []string{
		"path=/v1/jobs/job_06fa0000000000000000000000/events status=200", "dial postgres://db:5432/coatcheck", "Basic authentication failed for alice", `url=http://127.0.0.1:4000/hook`,
	} {
		if found := jobstest.Secrets(line); len(found) > 0 {
			t.Errorf("%s: found %q", line, found)
		}
	}
}
