package upstream

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/http/httpguts"

	"coatcheck/services/spec"
)

// Parse reads the section `upstreams` of a configuration file in a directory. Error:
// [spec.Errors], all of them.
func Parse(node *yaml.Node, dir string) ([]*Upstream, error) {
	p := &parser{dir: dir}
	var upstreams []*Upstream
	p.Services("upstreams", node, func(name string, node *yaml.Node) { upstreams = append(upstreams, p.upstream(name, node)) })
	if p.Errors != nil {
		return nil, p.Errors
	}
	return upstreams, nil
}

type parser struct {
	spec.Parser
	dir    string   // of the configuration file
	hidden []string // secrets of the upstream that is read, each with what stands for it in texts
}

// upstream reads one upstream.
func (p *parser) upstream(name string, node *yaml.Node) *Upstream {
	u := &Upstream{Service: spec.Service{Name: name, Summary: "Call an HTTP server."}, method: http.MethodPost, headers: make(http.Header), output: outputJSON, stream: true, client: newClient()}
	var request *yaml.Node
	u.Read(&p.Parser, "upstreams", node, map[string]spec.Reader{
		"request": func(_ string, v *yaml.Node) { request = v },
		"output":  func(at string, v *yaml.Node) { u.output = p.OneOf(at, v, outputs...) },
		"stream":  func(at string, v *yaml.Node) { u.stream = p.OneOf(at, v, "auto", "off") == "auto" },
		"idle":    func(at string, v *yaml.Node) { u.idle = p.Duration(at, v) },
	}, map[string]spec.Reader{
		"permanent_status": func(at string, v *yaml.Node) { u.permanentStatus = append([]int{}, p.Numbers(at, v, 300, 599)...) },
	})
	at := u.Path()
	if request == nil {
		u.secrets = strings.NewReplacer()
		p.Wrong(node, "%s: request is missing, such as `request: {url: http://127.0.0.1:9000/asr}`", at)
		return u
	}
	p.request(u, at+".request", request)
	u.secrets = strings.NewReplacer(p.hidden...)
	p.hidden = nil
	return u
}

// request reads what is sent.
func (p *parser) request(u *Upstream, at string, node *yaml.Node) {
	found := false
	p.Members(at, node, map[string]spec.Reader{
		"method": func(at string, v *yaml.Node) {
			u.method = p.OneOf(at, v, http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete)
		},
		"url": func(at string, v *yaml.Node) {
			found = true
			p.url(u, at, v)
		},
		"headers": func(at string, v *yaml.Node) {
			p.Texts(at, v, func(name, value *yaml.Node) { p.header(u, at, name, value) })
		},
		"body":            func(at string, v *yaml.Node) { u.body = p.OneOf(at, v, bodies...) },
		"idempotency_key": func(at string, v *yaml.Node) { u.idempotencyKey = p.Bool(at, v) },
	})
	if !found {
		p.Wrong(node, "%s: url is missing, such as http://127.0.0.1:9000/asr", at)
	}
	if u.body == "" {
		u.body = bodyJSON
		if u.method == http.MethodGet || u.method == http.MethodDelete {
			u.body = bodyNone
		} else if len(u.Schema.Files()) > 0 {
			u.body = bodyMultipart
		}
	}
	p.checkFiles(u, at, node)
}

// checkFiles checks that the body can have the files of the input.
func (p *parser) checkFiles(u *Upstream, at string, node *yaml.Node) {
	files := u.Schema.Files()
	for _, name := range files {
		if u.url.Names(name) {
			p.Wrong(node, "%s.url: {{input.%s}} is a file, which can't be in a URL", at, name)
		}
	}
	switch {
	case u.body == bodyRaw && (len(files) != 1 || u.Schema.IsList(files[0])):
		p.Wrong(node, "%s.body: raw sends the only file of the input: expected one property of type string and format binary", at)
	case len(files) > 0 && u.body != bodyRaw && u.body != bodyMultipart:
		p.Wrong(node, "%s.body: the input has a file, %s: expected multipart or raw", at, files[0])
	}
}

// url reads the URL, which may have placeholders in its path and its query.
func (p *parser) url(u *Upstream, at string, node *yaml.Node) {
	var err error
	if u.url, err = spec.ParseTemplate(p.Text(at, node), &u.Schema); err != nil {
		p.Wrong(node, "%s: %s", at, err)
		return
	}
	parsed, err := url.Parse(node.Value)
	fixed, _, found := strings.Cut(node.Value, "{{")
	switch {
	case err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" || parsed.Fragment != "":
		p.Wrong(node, "%s: expected a URL that begins with http:// or https://", at)
	case parsed.User != nil || strings.Contains(node.Value, "${"):
		p.Wrong(node, "%s: credentials belong into headers, such as `Authorization: Bearer ${WHISPER_KEY}`", at)
	case found && strings.Count(fixed, "/") < 3 && !strings.Contains(fixed, "?"):
		p.Wrong(node, "%s: a placeholder may be in the path and the query, not in the host", at)
	}
}

// reserved are the headers that the client sets.
var reserved = []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade", "Expect"}

// header reads a header, in whose value secrets are filled in.
func (p *parser) header(u *Upstream, at string, name, value *yaml.Node) {
	canonical := http.CanonicalHeaderKey(name.Value)
	switch {
	case !httpguts.ValidHeaderFieldName(name.Value) || slices.Contains(reserved, canonical):
		p.Wrong(name, "%s: %q is no header that can be set", at, name.Value)
		return
	case strings.Contains(value.Value, "{{"):
		p.Wrong(value, "%s.%s: a header can't have placeholders", at, name.Value)
		return
	}
	text, err := p.secrets(value.Value)
	switch {
	case err != nil:
		u.Lacks(value, "%s.%s: %s", at, name.Value, err)
	case !httpguts.ValidHeaderFieldValue(text):
		p.Wrong(value, "%s.%s: the value has characters that no header can have", at, name.Value) // it may be a secret
	}
	u.headers.Set(canonical, text)
}

var reference = regexp.MustCompile(`\$\{[^{}]*\}`)

// maxSecret is how many bytes a file with a secret may have.
const maxSecret = 64 << 10

// secrets replaces ${NAME} by an environment variable, and ${file:PATH} by the text of a
// file. Error: one is missing.
func (p *parser) secrets(text string) (string, error) {
	var missing error
	text = reference.ReplaceAllStringFunc(text, func(ref string) string {
		name := ref[2 : len(ref)-1]
		path, isFile := strings.CutPrefix(name, "file:")
		if !isFile {
			value := os.Getenv(name)
			if value == "" {
				missing = fmt.Errorf("the environment variable %s is not set", name)
			}
			p.hide(value)
			return value
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(p.dir, path)
		}
		info, err := os.Stat(path)
		if err != nil || info.Size() > maxSecret {
			missing = fmt.Errorf("the file %s can't be read, or is larger than %d bytes", path, maxSecret)
			return ""
		}
		value, err := os.ReadFile(path) //nolint:gosec // the operator names it
		if err != nil {
			missing = fmt.Errorf("the file %s can't be read", path)
		}
		p.hide(strings.TrimSpace(string(value)))
		return strings.TrimSpace(string(value))
	})
	return text, missing
}

// minHidden is the length in bytes from which a secret is hidden in texts.
const minHidden = 6

// hide notes a secret that must not appear in texts.
func (p *parser) hide(secret string) {
	if len(secret) >= minHidden {
		p.hidden = append(p.hidden, secret, "***")
	}
}
