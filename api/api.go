// Package api is the HTTP contract: submitting jobs, asking for them, watching
// them, and who may. It turns requests into calls of jobs and notify, and
// their errors into problems.
package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"coatcheck/api/auth"
	"coatcheck/jobs"
	"coatcheck/notify"
	"coatcheck/web"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// A Config is what an [API] needs.
type Config struct {
	Queue    *jobs.Queue
	Services *jobs.Registry
	Hub      *notify.Hub
	Guard    *notify.Guard
	Auth     *auth.Authenticator
	// Validator must be the one that the queue uses.
	Validator *Validator
	// PublicURL is how callers reach the API, "https://host" without a slash
	// at its end. Without it, what each request says is believed.
	PublicURL string
	// Hosts are the names, beside that of PublicURL and of this machine to
	// itself, that requests may call the server by.
	Hosts []string
	// MaxBody is the largest request body in bytes. Default 1 MiB.
	MaxBody int64
	// BodyTimeout is how long the body of a request may take to arrive, and a
	// second longer for every 128 KiB of MaxBody. Default 20 seconds.
	BodyTimeout time.Duration
	// Connections are the server's, for its metrics; nil if they are not counted.
	Connections *Connections
	// Streams bounds what viewers may take.
	Streams StreamLimits
	// TrustedProxies are the networks of proxies whose X-Forwarded-For,
	// X-Forwarded-Proto and X-Forwarded-Host, or Forwarded, are believed.
	TrustedProxies []netip.Prefix
	// AllowProxy takes requests that came through a proxy even if there are no
	// users, who would otherwise be asked for.
	AllowProxy bool
	// SubmitRate is how many jobs a user may submit in a second; 0 means no limit.
	SubmitRate float64
	// Version stands in the OpenAPI document.
	Version string
	// Engine shows River's own tables to admins, below [EnginePath]; nil for
	// nobody.
	Engine http.Handler
	// Redis says that live events go through Redis, for the page.
	Redis  bool
	Logger *slog.Logger
}

// An API answers requests.
type API struct {
	Config
	handler      http.Handler
	crossOrigin  *http.CrossOriginProtection
	huma         huma.API
	router       *chi.Mux
	submits      *submitLimiter
	metrics      *metrics
	failedLogins *failedLogins
	docs         docsCache
	streams      *streamLimiter
	largeOutputs *largeQueue
	pages        *web.Renderer
	startedAt    time.Time
	draining     context.Context //nolint:containedctx // done when the server shuts down
	drain        context.CancelFunc
}

// New returns an API. Its error names everything that the config lacks.
func New(c Config) (*API, error) {
	c.MaxBody = cmp.Or(c.MaxBody, 1<<20)
	c.BodyTimeout = cmp.Or(c.BodyTimeout, 20*time.Second)
	var errs []error
	for name, missing := range map[string]bool{
		"Queue": c.Queue == nil, "Services": c.Services == nil, "Hub": c.Hub == nil, "Guard": c.Guard == nil,
		"Auth": c.Auth == nil, "Validator": c.Validator == nil, "Logger": c.Logger == nil,
	} {
		if missing {
			errs = append(errs, fmt.Errorf("api: Config.%s is missing", name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	a := &API{Config: c, router: chi.NewRouter(), crossOrigin: http.NewCrossOriginProtection(), submits: newSubmitLimiter(c.SubmitRate), streams: newStreamLimiter(c.Streams), largeOutputs: newLargeQueue(), pages: web.New(), failedLogins: newFailedLogins(), startedAt: time.Now()}
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
	a.addDocs()
	a.addPages()
	a.router.NotFound(a.notFound)
	a.router.MethodNotAllowed(a.methodNotAllowed)
	a.handler = a.wrap(a.router)
	return a, nil
}

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Drain ends all streams, within two seconds when they are many, and whatever
// else waits for a job, and takes no more jobs. Call it before
// [http.Server.Shutdown], which waits for requests to end, and [API.Wait] after
// it, which waits for streams.
func (a *API) Drain() {
	a.drain()
	a.streams.drain()
}

// Wait waits until all streams have ended after [API.Drain]. Those that have
// not when ctx is done are cut off.
func (a *API) Wait(ctx context.Context) { a.streams.wait(ctx) }

func (a *API) humaConfig() huma.Config {
	c := huma.DefaultConfig("Coatcheck", cmp.Or(a.Version, "dev"))
	c.Info.Description = "Puts slow code behind an asynchronous HTTP API: submit a job, then poll it, watch it or be called back."
	c.Info.License = &huma.License{Name: "MIT", Identifier: "MIT"}
	c.Components.Schemas = a.Validator.schemas
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"basic":   {Type: "http", Scheme: "basic", Description: "Name and password of a user."},
		"api_key": {Type: "http", Scheme: "bearer", Description: "An API key of a user."},
	}
	if a.PublicURL != "" {
		c.Servers = []*huma.Server{{URL: a.PublicURL}}
	} else {
		c.Servers = []*huma.Server{{URL: "/"}}
	}
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", "" // ours are in docs.go
	c.CreateHooks = nil
	c.RejectUnknownQueryParameters = true
	c.Transformers = []huma.Transformer{a.transformProblem}
	return c
}

// access says who may use an operation.
type access int

const (
	public      access = iota
	userOnly           // with credentials
	tokenOrUser        // {job} is a token, or an id with credentials
)

// operation is what differs between operations.
type operation struct {
	id, method, path, summary, description string
	access                                 access
	status                                 int // without an error; default 200
	tag                                    string
	// offers are the media types of the answer; default JSON.
	offers []string
	more   func(*huma.Operation)
}

// register adds an operation whose errors become problems.
func register[I, O any](a *API, o operation, fn func(context.Context, *I) (*O, error)) {
	op := huma.Operation{
		OperationID: o.id, Method: o.method, Path: o.path, Summary: o.summary, Description: o.description, DefaultStatus: o.status,
		Tags: []string{o.tag}, MaxBodyBytes: a.MaxBody + 1, BodyReadTimeout: a.bodyReadTimeout(), // the limit itself is allowed
		SkipValidateBody: true, // bodyOf and decode do
		Middlewares:      huma.Middlewares{a.authorize(o.access), a.negotiate(o.offers)},
		Responses: map[string]*huma.Response{"default": {
			Description: "A problem (RFC 9457).",
			Content:     map[string]*huma.MediaType{problemType: {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}}},
		}},
	}
	switch o.access {
	case userOnly:
		op.Security = []map[string][]string{{"basic": {}}, {"api_key": {}}}
	case tokenOrUser:
		op.Security = []map[string][]string{{}, {"basic": {}}, {"api_key": {}}}
	case public:
		op.Security = []map[string][]string{}
	}
	if o.more != nil {
		o.more(&op)
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := fn(ctx, in)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		return out, nil
	})
	if o.method == http.MethodGet {
		describeTimes(a.huma.OpenAPI().Paths[o.path].Get)
	}
	if body, ok := bodies[o.id]; ok {
		a.describeBody(o.path, a.Validator.bodies[body])
	}
}
