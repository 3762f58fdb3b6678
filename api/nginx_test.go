package api_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"coatcheck/jobs/jobstest"
)

// nginx starts an nginx before the server, with what it does unless told
// otherwise: it buffers, compresses, and speaks HTTP/1.0 to the server. It
// returns its URLs for HTTP/1.1, and HTTP/2 over TLS.
func nginx(t *testing.T, upstream string) (plain, secure string) {
	t.Helper()
	program := jobstest.Program(t, "nginx")
	dir := t.TempDir()
	jobstest.Certificate(t, dir, 1)
	plainAddr, secureAddr := jobstest.FreeAddr(t), jobstest.FreeAddr(t)
	config := fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events {}
http {
	access_log off; gzip on;
	client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s;
		listen %[3]s ssl http2;
		ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem;
		location / { proxy_pass %[4]s; }
	}
}`, dir, plainAddr, secureAddr, upstream)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "-p", dir, "-c", file)
	var log strings.Builder
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	waitFor(t, "nginx listens", 10*time.Second, func() bool {
		conn, err := net.Dial("tcp", secureAddr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	return "http://" + plainAddr, "https://" + secureAddr
}

// Through an nginx that nobody has configured, events come one by one, and a
// viewer that leaves it leaves the server.
func TestStreamThroughNginx(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{})
	plain, secure := nginx(t, f.URL)
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	for url, major := range map[string]int{plain: 1, secure: 2} {
		t.Run(fmt.Sprintf("HTTP %d", major), func(t *testing.T) {
			// Nothing in this job's stream comes after what is waited for here.
			held := f.submit(t, "hold", `{"input":{}}`)
			v := f.watchVia(t, transport, url+path(held.EventsURL), true, "Accept-Encoding: gzip")
			if v.ProtoMajor != major || v.Header.Get("Content-Encoding") != "" || v.Header.Get("Content-Type") != "text/event-stream" {
				t.Fatalf("%s %v", v.Proto, v.Header)
			}
			seen := ""
			for !strings.Contains(seen, "frame 80/200") || !strings.Contains(seen, "a chunk") && !strings.Contains(seen, `-3","created_at`) {
				seen += v.next(t).data
			}
			v.cancel()
			waitFor(t, "the viewer is gone from the server", 3*time.Second, func() bool { return len(f.hub.Watched()) == 0 })

			job := f.submit(t, "chatter", `{"input":{"chunks":30,"size":100,"pause":10}}`)
			names := f.watchVia(t, transport, url+path(job.EventsURL), true).names(t)
			if len(names) < 30 || names[len(names)-1] != "end" {
				t.Errorf("events: %v", names)
			}
			if v := f.watchVia(t, transport, url+path(job.EventsURL), true, "Last-Event-ID: 99-0"); v.StatusCode != 204 {
				t.Errorf("past the end: %s", v.Status)
			}
		})
	}
}
