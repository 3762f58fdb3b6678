package jobstest

import (
	"regexp"
	"testing"
)

// secrets are patterns of secrets that must never be logged. The secrets of tests have the same
// form as those of users.
var secrets = map[string]*regexp.Regexp{
	"job's token":       regexp.MustCompile(`job_\w+\.[\w-]{16,}`),
	"API key":           regexp.MustCompile(`\bck_[\w-]{43}`),
	"signing key":       regexp.MustCompile(`\bwhs(ec|k)_[\w+/=-]{16,}`),
	"credentials":       regexp.MustCompile(`(?i)\bauthorization\W+(basic|bearer) \S+`),
	"password in a URL": regexp.MustCompile(`\b[a-z+]+://[^\s/:@"]*:[^\s/:@"]+@`),
	"password's hash":   regexp.MustCompile(`\$argon2id?\$|\$2[aby]\$\d\d\$|pbkdf2:sha\d+:\d+\$|scrypt:\d+:\d+:\d+\$`),
	"S3 secret key":     regexp.MustCompile(regexp.QuoteMeta(S3Secret)),
	"S3 signature":      regexp.MustCompile(`AWS4-HMAC-SHA256 Credential=`),
	"cookie":            regexp.MustCompile(`coatcheck_session=\w+`),
}

// NoSecrets fails the test for each secret in a log.
func NoSecrets(t testing.TB, log string) {
	t.Helper()
	for _, s := range Secrets(log) {
		t.Errorf("logged: %s", s)
	}
}

// Secrets returns the secrets in a text, each prefixed with its kind.
func Secrets(text string) []string {
	var found []string
	for what, pattern := range secrets {
		if at := pattern.FindString(text); at != "" {
			found = append(found, what+" "+at)
		}
	}
	return found
}
