package keys_test

import (
	"testing"

	"coatcheck/jobs/keys"
)

func TestRedact(t *testing.T) {
	const id, secret = "job_06h2k8zv4c7q9m3n5p1r0s2t4v", "dhds9kd06h2k8zv4c7q9m3n5p1"
	for path, want := range map[string]string{
		"/v1/jobs/" + id:                                        "/v1/jobs/" + id,
		"/v1/jobs/" + id + "/events":                            "/v1/jobs/" + id + "/events",
		"/v1/jobs/" + id + "." + secret:                         "/v1/jobs/" + id,
		"/v1/jobs/<" + id + "." + secret + ">":                  "/v1/jobs/<" + id,
		"/v1/jobs/job_x.y/log":                                  "/v1/jobs/job_x/log",
		"/v1/jobs/job%5F06h2k8zv4c7q9m3n5p1r0s2t4v%2E" + secret: "/v1/jobs/job%5F06h2k8zv4c7q9m3n5p1r0s2t4v",
		"/v1/services/maths.add/jobs":                           "/v1/services/maths.add/jobs",
		"/100%":                                                 "/100%",
		"/":                                                     "/",
	} {
		if got := keys.RedactPath(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	if got := keys.RedactText("panic with " + id + "." + secret + " in it"); got != "panic with "+id+" in it" {
		t.Error(got)
	}
}
