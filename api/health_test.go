package api_test

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"

	"coatcheck/jobs/jobstest"
)

// Probes are answered whatever they call the server: load balancers use its
// address, or say no name at all. All else is refused.
func TestHealthWithAnyHost(t *testing.T) {
	credentials, _ := aliceAndBob(t)
	for name, o := range map[string]options{"open": {}, "with users": {credentials: credentials}} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, jobstest.SQLite(t), o)
			for request, want := range map[string]int{
				"GET /healthz HTTP/1.1\r\nHost: 10.244.0.5:5000":  200,
				"GET /readyz HTTP/1.1\r\nHost: 10.244.0.5:5000":   200,
				"HEAD /readyz HTTP/1.1\r\nHost: [fd00::5]:5000":   200,
				"GET /readyz HTTP/1.1\r\nHost: lb.example":        200,
				"GET /readyz HTTP/1.1\r\nHost: not a host":        400, // net/http
				"GET /readyz HTTP/1.0":                            200,
				"GET /healthz HTTP/1.0":                           200,
				"OPTIONS / HTTP/1.0":                              421,
				"GET /metrics HTTP/1.1\r\nHost: 10.244.0.5:5000":  421,
				"GET /v1/jobs HTTP/1.0":                           421,
				"GET /readyz/ HTTP/1.1\r\nHost: lb.example":       421,
				"POST /readyz HTTP/1.1\r\nHost: lb.example":       421,
				"GET //readyz HTTP/1.1\r\nHost: lb.example":       421,
				"GET /readyz/../v1/jobs HTTP/1.1\r\nHost: lb.exa": 421,
			} {
				method, _, _ := strings.Cut(request, " ")
				conn := raw(t, f.URL, request+"\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
				if err != nil {
					t.Errorf("%q: %v", request, err)
					continue
				}
				b, _ := io.ReadAll(resp.Body)
				if resp.StatusCode != want {
					t.Errorf("%q: %s, want %d: %s", request, resp.Status, want, b)
				}
			}
		})
	}
}
