// Package api implements the HTTP API and the web pages: submitting, reading
// and streaming jobs, with access control. It translates requests into calls of
// packages jobs and notify, and errors into problem details (RFC 9457).
package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"coatcheck/api/auth"
	"coatcheck/api/conn"
	"coatcheck/api/document"
	"coatcheck/api/limits"
	"coatcheck/api/origin"
	"coatcheck/api/problem"
	"coatcheck/jobs"
	"coatcheck/jobs/files"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/schema"
	"coatcheck/notify"
)

// A Config has the dependencies and settings of an [API].
type Config struct {
	Queue    *queue.Queue
	Services *jobs.Registry
	Hub      *notify.Hub
	Guard    *notify.Guard
	Auth     *auth.Authenticator
	// Files has the files of jobs; nil if the server stores none.
	Files files.Store
	// Sessions are the sessions of signed-in browsers.
	Sessions *auth.Sessions
	// Validator must be the validator that Queue uses.
	Validator *schema.Validator
	// PublicURL is the base URL of the API for its clients, such as
	// "https://host", without a trailing slash. If it is empty, the base URL is
	// derived from each request.
	PublicURL string
	// Hosts are further host names that requests may use in the Host header.
	// The host of PublicURL and the loopback names are always allowed.
	Hosts []string
	// MaxBody is the maximum size of a request body in bytes. The default is 1
	// MiB.
	MaxBody int64
	// BodyTimeout is how long the client may take to send a request body. One
	// second is added for every 128 KiB of MaxBody. The default is 20 seconds.
	BodyTimeout time.Duration
	// Connections are the connections of the server, for its metrics; nil if
	// the server does not count them.
	Connections *conn.Limiter
	// Streams limits streams and long polls.
	Streams limits.StreamLimits
	// TrustedProxies are the networks of the proxies whose Forwarded,
	// X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host headers are
	// trusted.
	TrustedProxies []netip.Prefix
	// AllowProxy accepts requests that came through a proxy even if no users
	// are configured. By default, they are rejected then.
	AllowProxy bool
	// SubmitRate is the maximum number of jobs that each user may submit per
	// second; 0 means no limit.
	SubmitRate float64
	// Version is the version in the OpenAPI document.
	Version string
	// Engine serves River's UI to admins below [EnginePath]; nil disables it.
	Engine http.Handler
	// Redis reports whether live events go through Redis. The system page shows
	// it.
	Redis bool
	// Settings returns the configuration in force, without secrets, for the settings page of admins; nil
	// to show none.
	Settings func() []Setting
	Logger   *slog.Logger
}

// A Setting is a setting of the server as admins see it.
type Setting struct {
	// Name is its key in the configuration file. Value never contains a secret.
	Name, Value, Help string
	// Source is where the value comes from: a file, an environment variable or a flag; "" for a default.
	Source string
}

// An API serves the HTTP API. Create it with [New]. Web pages can be mounted on
// it before it serves requests.
type API struct {
	Config
	// ProblemPages responds to browsers with a page that describes a problem;
	// nil to respond to them like to programs.
	ProblemPages func(http.ResponseWriter, *http.Request, *problem.Problem)

	handler      http.Handler
	origin       *origin.Policy
	huma         huma.API
	router       *chi.Mux
	submissions  *limits.Submissions
	metrics      *metrics
	failedLogins *auth.FailedLogins
	docs         docsCache
	streams      *limits.Streams
	outputs      *limits.Outputs
	schemas      *requestSchemas
	draining     context.Context //nolint:containedctx // done when the server shuts down
	drain        context.CancelFunc
}

// New returns an API. Its error lists all required fields of the config that
// are missing.
func New(c Config) (*API, error) {
	c.MaxBody = cmp.Or(c.MaxBody, 1<<20)
	c.BodyTimeout = cmp.Or(c.BodyTimeout, 20*time.Second)
	var errs []error
	for name, missing := range map[string]bool{
		"Queue": c.Queue == nil, "Services": c.Services == nil, "Hub": c.Hub == nil, "Guard": c.Guard == nil,
		"Auth": c.Auth == nil, "Sessions": c.Sessions == nil, "Validator": c.Validator == nil, "Logger": c.Logger == nil,
	} {
		if missing {
			errs = append(errs, fmt.Errorf("api: Config.%s is required", name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	a := &API{
		Config: c, router: chi.NewRouter(),
		submissions: limits.NewSubmissions(c.SubmitRate), streams: limits.NewStreams(c.Streams), outputs: limits.NewOutputs(),
		failedLogins: auth.NewFailedLogins(),
	}
	a.origin = &origin.Policy{
		PublicURL: c.PublicURL, Hosts: c.Hosts, TrustedProxies: c.TrustedProxies, AllowProxied: !c.Auth.Open() || c.AllowProxy,
		Refuse: a.WriteProblem, Logger: c.Logger,
	}
	var err error
	if a.schemas, err = newRequestSchemas(c.Validator); err != nil {
		return nil, err
	}
	a.draining, a.drain = context.WithCancel(context.Background())
	a.router.Use(middleware.GetHead)
	a.metrics = newMetrics(a)
	a.huma = humachi.New(a.router, a.humaConfig())
	a.addServices()
	a.addJobs()
	a.addEvents()
	a.addDeliveries()
	a.addKeys()
	a.addSkeleton()
	a.addOperations()
	document.AddEvents(a.Validator.Registry)
	if err := document.Complete(a.huma.OpenAPI(), a.Validator, a.schemas.submits); err != nil {
		return nil, err
	}
	a.addDocs()
	a.router.NotFound(a.notFound)
	a.router.MethodNotAllowed(a.methodNotAllowed)
	a.handler = a.wrap(a.router)
	return a, nil
}

// EnginePath is the path of River's UI.
const EnginePath = "/admin/river"

// OpenStreams returns how many event streams are open in this process.
func (a *API) OpenStreams() int { return a.streams.Open() }

// Handle adds a handler for a method and path, such as "GET /jobs/{job}".
func (a *API) Handle(pattern string, h http.HandlerFunc) {
	method, path, _ := strings.Cut(pattern, " ")
	a.router.Method(method, path, h)
}

// Mount adds a handler for all methods and paths below a path.
func (a *API) Mount(path string, h http.HandlerFunc) {
	a.router.Handle(path, http.RedirectHandler(path+"/", http.StatusSeeOther))
	a.router.Handle(path+"/*", h)
}

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Drain rejects new jobs and streams, ends all streams and interrupts all long
// polls. Streams end one after another, within two seconds. Call Drain before
// [http.Server.Shutdown], which waits for requests, and call [API.Wait], which
// waits for streams, after it.
func (a *API) Drain() {
	a.drain()
	a.streams.Drain()
}

// Wait waits until all streams have ended after [API.Drain]. It closes the
// connections of streams that are still open when ctx is done.
func (a *API) Wait(ctx context.Context) { a.streams.Wait(ctx) }

func (a *API) humaConfig() huma.Config {
	c := huma.DefaultConfig("Coatcheck", cmp.Or(a.Version, "dev"))
	c.Info.Description = "Puts slow code behind an asynchronous HTTP API: submit a job, then poll it, watch it or be called back."
	c.Info.License = &huma.License{Name: "MIT", Identifier: "MIT"}
	c.Tags = document.Tags
	c.Components.Schemas = a.Validator.Registry
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"basic":   {Type: "http", Scheme: "basic", Description: "Name and password of a user."},
		"api_key": {Type: "http", Scheme: "bearer", Description: "An API key of a user."},
	}
	if a.PublicURL != "" {
		c.Servers = []*huma.Server{{URL: a.PublicURL}}
	} else {
		c.Servers = []*huma.Server{{URL: "/"}}
	}
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", "" // docs.go has its own
	c.CreateHooks = nil
	c.RejectUnknownQueryParameters = true
	c.Transformers = []huma.Transformer{a.transformProblem}
	return c
}
