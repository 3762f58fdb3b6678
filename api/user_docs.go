package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/api/auth"
)

// maxDocuments is the maximum number of cached versions of the documentation.
// There is one version for each set of services that a user may run.
const maxDocuments = 64

// docsCache caches the versions of the documentation. Each is rendered on first
// use, because most processes never serve it.
type docsCache struct {
	mu       sync.Mutex // guards rendered
	rendered map[string]*userDocs
}

// userDocs is the OpenAPI document and the documentation page for the users who
// may run the same services.
type userDocs struct {
	spec, page func() ([]byte, error)
}

// docsFor returns the documentation for the user of the request, which includes
// only the services that the user may run. It returns the same errors as
// [auth.Authenticator.Authenticate].
func (a *API) docsFor(r *http.Request) (*userDocs, error) {
	user, err := a.docsUser(r)
	if err != nil {
		return nil, err
	}
	hidden := make(map[string]bool)
	var key strings.Builder
	for s := range a.Services.All() {
		if !user.MayRun(s.Name) {
			hidden[s.Name] = true
			key.WriteString(s.Name + "\x00")
		}
	}
	if a.Auth.Open() { // the page says so
		key.WriteString("open")
	}
	a.docs.mu.Lock()
	defer a.docs.mu.Unlock()
	if d := a.docs.rendered[key.String()]; d != nil {
		return d, nil
	}
	if len(a.docs.rendered) >= maxDocuments || a.docs.rendered == nil {
		a.docs.rendered = make(map[string]*userDocs)
	}
	d := &userDocs{
		spec: sync.OnceValues(func() ([]byte, error) {
			document, err := a.documentWithout(hidden)
			if err != nil {
				return nil, err
			}
			return json.Marshal(document)
		}),
		page: sync.OnceValues(func() ([]byte, error) {
			document, err := a.documentWithout(hidden)
			if err != nil {
				return nil, err
			}
			return a.renderDocs(document)
		}),
	}
	a.docs.rendered[key.String()] = d
	return d, nil
}

// docsUser returns the user whose services the documentation includes. Without
// credentials, the documentation includes all services or, if any user is
// restricted, none.
func (a *API) docsUser(r *http.Request) (auth.User, error) {
	err := a.Authenticate(r)
	_, throttled := errors.AsType[*auth.RetryError](err)
	switch {
	case err == nil:
		return InfoOf(r.Context()).User, nil
	case throttled, errors.Is(err, auth.ErrBadCredentials):
		return auth.User{}, err
	}
	// No credentials, or the session lookup failed.
	InfoOf(r.Context()).User = auth.User{}
	if a.Auth.Restricts() {
		return auth.User{Services: []string{}}, nil
	}
	return auth.User{}, nil
}

// documentWithout returns the OpenAPI document without the hidden services and
// without the schemas that only they use.
func (a *API) documentWithout(hidden map[string]bool) (*huma.OpenAPI, error) {
	full := a.huma.OpenAPI()
	if len(hidden) == 0 {
		return full, nil
	}
	document, components := *full, *full.Components
	document.Paths = make(map[string]*huma.PathItem)
	var shown, removed []any // values that refer to schemas
	for p, item := range full.Paths {
		if service, ok := serviceOfPath(p); ok && hidden[service] {
			removed = append(removed, item)
			continue
		}
		document.Paths[p] = item
		shown = append(shown, item)
	}
	for s := range a.Services.All() {
		schemas := []any{a.Validator.Input(s.Name), a.Validator.Output(s.Name), a.schemas.submits[s.Name]}
		if hidden[s.Name] {
			removed = append(removed, schemas...)
		} else {
			shown = append(shown, schemas...)
		}
	}
	schemas := full.Components.Schemas.Map()
	keep, err := referencedSchemas(schemas, shown)
	if err != nil {
		return nil, err
	}
	drop, err := referencedSchemas(schemas, removed)
	if err != nil {
		return nil, err
	}
	remaining := make(map[string]*huma.Schema)
	for name, schema := range schemas {
		if keep[name] || !drop[name] {
			remaining[name] = schema
		}
	}
	components.Schemas = &filteredRegistry{Registry: full.Components.Schemas, schemas: remaining}
	document.Components = &components
	return &document, nil
}

// serviceOfPath returns the service in a path, if any.
func serviceOfPath(p string) (string, bool) {
	rest, ok := strings.CutPrefix(p, "/v1/services/")
	if !ok || strings.HasPrefix(rest, "{") {
		return "", false
	}
	service, _, ok := strings.Cut(rest, "/")
	return service, ok
}

// referencedSchemas returns the names of the schemas that the values refer to,
// directly or through other schemas.
func referencedSchemas(schemas map[string]*huma.Schema, values []any) (map[string]bool, error) {
	found := make(map[string]bool)
	for len(values) > 0 {
		text, err := json.Marshal(values[0])
		if err != nil {
			return nil, fmt.Errorf("find schemas: %w", err)
		}
		values = values[1:]
		var value any
		if err := json.Unmarshal(text, &value); err != nil {
			return nil, fmt.Errorf("find schemas: %w", err)
		}
		for _, name := range refsIn(value, nil) {
			if schema := schemas[name]; schema != nil && !found[name] {
				found[name] = true
				values = append(values, schema)
			}
		}
	}
	return found, nil
}

// refsIn appends the names of the schemas that a JSON value refers to.
func refsIn(value any, names []string) []string {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			if ref, ok := inner.(string); ok && key == "$ref" {
				names = append(names, path.Base(ref))
			}
			names = refsIn(inner, names)
		}
	case []any:
		for _, inner := range v {
			names = refsIn(inner, names)
		}
	}
	return names
}

// filteredRegistry is a registry with only some of the schemas of another one.
type filteredRegistry struct {
	huma.Registry
	schemas map[string]*huma.Schema
}

// Map implements [huma.Registry].
func (p *filteredRegistry) Map() map[string]*huma.Schema { return p.schemas }

// MarshalJSON implements [json.Marshaler].
func (p *filteredRegistry) MarshalJSON() ([]byte, error) { return json.Marshal(p.schemas) }
