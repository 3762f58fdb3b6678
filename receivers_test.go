package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"coatcheck/notify"
	"coatcheck/notify/webhook"
)

// The receivers of docs/receivers take what we sign, with either scheme, and
// nothing else.
func TestReceivers(t *testing.T) {
	goReceiver := filepath.Join(t.TempDir(), "receiver")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", goReceiver, "./docs/receivers/go").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	secret, private := webhook.NewKey(webhook.V1), webhook.NewKey(webhook.V1a)
	keys := []webhook.Key{webhook.NewKey(webhook.V1), secret, webhook.NewKey(webhook.V1a), private} // as while keys rotate
	for name, test := range map[string]struct {
		command []string
		key     string
	}{
		"go v1":          {[]string{goReceiver}, secret.Secret()},
		"go v1a":         {[]string{goReceiver}, private.PublicKey()},
		"python v1":      {[]string{"python3", "docs/receivers/receiver.py"}, secret.Secret()},
		"javascript v1":  {[]string{"node", "docs/receivers/receiver.mjs"}, secret.Secret()},
		"javascript v1a": {[]string{"node", "docs/receivers/receiver.mjs"}, private.PublicKey()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(test.command[0]); err != nil {
				t.Skipf("%s is not installed", test.command[0])
			}
			cmd := exec.CommandContext(t.Context(), test.command[0], test.command[1:]...)
			cmd.Env = append(os.Environ(), "KEY="+test.key, "ACCOUNT=alice", "PORT=0") // any free port
			cmd.Stderr = os.Stderr
			pipe, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			out := bufio.NewReader(pipe)
			first, err := out.ReadString('\n')
			url := urlPattern.FindString(first) + "/"
			if err != nil || url == "/" {
				t.Fatalf("the receiver says %q, not where it is: %v", first, err)
			}
			guard, err := notify.NewGuard(notify.GuardConfig{Loopback: true})
			if err != nil {
				t.Fatal(err)
			}
			sender := notify.NewSender(notify.SenderConfig{Guard: guard})
			defer sender.Close()
			sendOf := func(account, id string, keys ...webhook.Key) int {
				return sender.Send(t.Context(), notify.Request{
					ID: id, URL: url, Keys: keys,
					Body: []byte(`{"type":"job.succeeded","data":{"job":{"id":"job_1","output":7},"account":"` + account + `"}}`),
				}).StatusCode
			}
			send := func(id string, keys ...webhook.Key) int { return sendOf("alice", id, keys...) }
			misuse(t, url) // before the rest, which it must not harm
			if status := sendOf("mallory", "msg_5", keys...); status != 403 {
				t.Errorf("another user's: %d", status)
			}
			for _, id := range []string{"msg_1", "msg_1", "msg_2"} {
				if status := send(id, keys...); status != 204 {
					t.Errorf("%s: %d", id, status)
				}
			}
			if status := send("msg_3", webhook.NewKey(webhook.V1), webhook.NewKey(webhook.V1a)); status != 400 {
				t.Errorf("other keys: %d", status)
			}
			if status := replay(t, url, keys, time.Now().Add(-time.Hour), `{}`, `{}`); status != 400 {
				t.Errorf("an hour old: %d", status)
			}
			if status := replay(t, url, keys, time.Now(), `{}`, `{ }`); status != 400 {
				t.Errorf("changed on its way: %d", status)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(out)
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil || errors.Is(err, context.Canceled) {
				t.Error("the receiver ended by itself")
			}
			if got := strings.Count(string(rest), "job.succeeded job_1 7\n"); got != 2 {
				t.Errorf("handled %d callbacks, want each once:\n%s", got, rest)
			}
		})
	}
}

// misuse sends what no receiver should take, or fall over.
func misuse(t *testing.T, url string) {
	t.Helper()
	const head = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nWebhook-Id: msg_0\r\nWebhook-Signature: v1,AAAA\r\n"
	now := strconv.FormatInt(time.Now().Unix(), 10)
	for name, request := range map[string]string{
		"negative length":    head + "Webhook-Timestamp: " + now + "\r\nContent-Length: -1\r\n\r\n" + strings.Repeat("x", 4<<10),
		"length in words":    head + "Webhook-Timestamp: " + now + "\r\nContent-Length: two\r\n\r\n{}",
		"endless length":     head + "Webhook-Timestamp: " + now + "\r\nContent-Length: " + strings.Repeat("9", 5000) + "\r\n\r\n{}",
		"too large":          head + "Webhook-Timestamp: " + now + "\r\nContent-Length: 2097152\r\n\r\n" + strings.Repeat("x", 2<<20),
		"timestamp of words": head + "Webhook-Timestamp: now\r\nContent-Length: 2\r\n\r\n{}",
		"superscript":        head + "Webhook-Timestamp: \u00b2\r\nContent-Length: 2\r\n\r\n{}",
		"latin superscript":  head + "Webhook-Timestamp: \xb2\r\nContent-Length: 2\r\n\r\n{}",
		"endless timestamp":  head + "Webhook-Timestamp: " + strings.Repeat("9", 5000) + "\r\nContent-Length: 2\r\n\r\n{}",
		"negative timestamp": head + "Webhook-Timestamp: -" + now + "\r\nContent-Length: 2\r\n\r\n{}",
		"no timestamp":       head + "Content-Length: 2\r\n\r\n{}",
		"no body":            head + "Webhook-Timestamp: " + now + "\r\nContent-Length: 100\r\n\r\n{",
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.Trim(url, "htp:/"))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, _ = io.WriteString(conn, request) // it may be refused before its end
		if name == "no body" {
			conn.Close()
			continue
		}
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		status, err := bufio.NewReader(conn).ReadString('\n')
		if !strings.HasPrefix(status, "HTTP/1.") || status[len("HTTP/1.1 ")] != '4' {
			t.Errorf("%s: got %q, %v, want a refusal", name, status, err)
		}
		conn.Close()
	}
}

// replay sends another body than was signed, at another time.
func replay(t *testing.T, url string, keys []webhook.Key, at time.Time, signed, sent string) int {
	t.Helper()
	header, err := webhook.Sign("msg_4", at, []byte(signed), keys)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
