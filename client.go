package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

const (
	defaultURL = "http://127.0.0.1:5000"
	// credentialsHelp says where a client's credentials come from: not from the
	// command line, which others on the machine can read.
	credentialsHelp = "Credentials come from the environment: API_KEY, or BASIC_AUTH as name:password."
)

// A client calls a server that runs somewhere.
type client struct {
	url    string // of the server, without a slash at its end
	header http.Header
	http   *http.Client
}

// addURLFlag adds the flag that says where the server is.
func (p *program) addURLFlag(f *pflag.FlagSet, to *string) {
	f.StringVar(to, "url", cmp.Or(p.getenv("COATCHECK_URL"), defaultURL), "where the server is (COATCHECK_URL)")
}

// newClient returns a client of the server at a URL.
func (p *program) newClient(server string) (*client, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, &usageError{errors.New("--url: expected a server's URL such as " + defaultURL + ", without credentials")}
	}
	c := &client{url: strings.TrimSuffix(server, "/"), header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}}}
	c.header.Set("User-Agent", "coatcheck/"+version())
	if key := p.getenv("API_KEY"); key != "" {
		c.header.Set("Authorization", "Bearer "+key)
	} else if name, password, ok := strings.Cut(p.getenv("BASIC_AUTH"), ":"); ok {
		r := http.Request{Header: c.header}
		r.SetBasicAuth(name, password)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, maxCallers
	transport.DisableCompression = true
	c.http = &http.Client{Transport: transport, Timeout: 2 * time.Minute}
	return c, nil
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 256 << 20

// call makes a request and decodes the answer into v, if there is one to.
func (c *client) call(ctx context.Context, method, url string, header http.Header, body []byte, v any) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	maps.Copy(req.Header, c.header)
	maps.Copy(req.Header, header)
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, err
	}
	if resp.StatusCode >= 400 {
		return resp.StatusCode, newRefusal(resp.StatusCode, answer)
	}
	if v != nil {
		err = json.Unmarshal(answer, v)
	}
	return resp.StatusCode, err
}

// A refusal is the server's answer to a request that it can't fulfill.
type refusal struct {
	Status int
	Code   string
	Detail string
	Errors []struct {
		Location, Message string
		Value             json.RawMessage
	}
}

func newRefusal(status int, answer []byte) *refusal {
	r := new(refusal)
	if json.Unmarshal(answer, r) != nil || r.Code == "" {
		*r = refusal{Code: "no problem document", Detail: http.StatusText(status)}
	}
	r.Status = status
	return r
}

// Error implements error: what is wrong, then each mistake and where it is.
func (r *refusal) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%d %s: %s", r.Status, r.Code, printable(r.Detail))
	for _, e := range r.Errors {
		fmt.Fprintf(&s, "\n  %s: %s", printable(e.Location), printable(e.Message))
		if len(e.Value) > 0 && len(e.Value) < 200 {
			fmt.Fprintf(&s, ", got %s", printable(string(e.Value)))
		}
	}
	return s.String()
}

// brief returns what errors of the same kind have in common.
func brief(err error) string {
	if r, ok := errors.AsType[*refusal](err); ok {
		return fmt.Sprintf("%d %s", r.Status, r.Code)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op + ": " + op.Err.Error() // without the ports
	}
	return err.Error()
}
