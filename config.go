package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"coatcheck/api/auth"
	"coatcheck/api/limits"
	"coatcheck/jobs"
	"coatcheck/jobs/files"
	"coatcheck/notify"
	"coatcheck/services/command"
	"coatcheck/services/upstream"
)

// A config holds all settings. The command line overrides the environment, which
// overrides the file, which overrides the defaults.
type config struct {
	Addr            string
	PublicURL       string
	Hosts           []string
	HealthAddr      string
	TLSCert         string
	TLSKey          string
	Data            string
	SecretKey       string
	DatabaseURL     string
	RedisURL        string
	RedisPrefix     string
	Concurrency     int
	Worker          bool
	Migrate         bool
	Bench           bool
	ShutdownTimeout time.Duration
	Retain          time.Duration
	JobTimeout      time.Duration
	CancelGrace     time.Duration
	LogLevel        string
	LogFormat       string
	Users           map[string]string
	APIKeys         map[string][]string
	Admins          []string
	AllowedServices map[string][]string
	Commands        []*command.Command
	Upstreams       []*upstream.Upstream
	FilesDir        string
	FilesS3         files.S3Config
	FileLimits      files.Limits
	MaxBody         int64
	MaxOutput       int64
	MaxQueued       int64
	MaxQueuedByUser int64
	MaxConnections  int64
	Streams         limits.StreamLimits
	TrustedProxies  []netip.Prefix
	AllowProxy      bool
	SubmitRate      float64
	RiverUI         bool
	Callbacks       struct {
		Allow         []string
		ProxyURL      string
		ProxyResolves bool
		Timeout       time.Duration
		Concurrency   int
		Schedule      notify.Schedule
		Hold          time.Duration
	}

	// warnings are logged once there is a logger.
	warnings []string
	// file is the name of the configuration file.
	file string
	// described are the descriptions of services in it.
	described []string
	// sources maps the keys of the settings that are not defaults to where they come from.
	sources map[string]string
}

func defaults() *config {
	c := &config{
		Addr: "127.0.0.1:5000", Data: "data", RedisPrefix: "coatcheck", Concurrency: 100, Worker: true, Migrate: true,
		ShutdownTimeout: 20 * time.Second, Retain: 24 * time.Hour, JobTimeout: 24 * time.Hour, CancelGrace: 10 * time.Second, LogLevel: "info", LogFormat: "auto",
		MaxBody: 1 << 20, MaxOutput: jobs.DefaultMaxOutput, MaxQueued: 100_000,
	}
	c.FilesS3.Prefix, c.FilesS3.Region = "coatcheck/", "us-east-1"
	c.FileLimits = files.Limits{File: 1 << 30, Total: 20 << 30}
	c.Streams = limits.StreamLimits{Total: 10_000, PerAddress: 1000, PerUser: 2000, PerJob: 5000, Age: 30 * time.Minute}
	c.Callbacks.Timeout, c.Callbacks.Concurrency, c.Callbacks.Schedule, c.Callbacks.Hold = 20*time.Second, 200, notify.DefaultSchedule(), 30*time.Second
	return c
}

// A setting describes one setting.
type setting struct {
	key  string // in the file, as "name" or "section.name"
	env  string // environment variable, or ""
	flag string // command line flag, or ""
	help string
	setter
}

// settings are all settings.
var settings = []setting{
	{"addr", "ADDR", "addr", "address to listen on", text(func(c *config) *string { return &c.Addr }, isAddr)},
	{"public_url", "PUBLIC_URL", "public-url", "URL under which callers reach the server, such as https://jobs.example.com", text(func(c *config) *string { return &c.PublicURL }, isOrigin)},
	{"hosts", "", "", "other host names that requests may use", decoded(func(c *config) *[]string { return &c.Hosts }, "a list of names such as [jobs.internal]")},
	{"trusted_proxies", "", "", "networks of proxies whose X-Forwarded-For, -Proto and -Host are trusted", decoded(func(c *config) *[]netip.Prefix { return &c.TrustedProxies }, "a list of networks such as [10.1.0.0/16]")},
	{"allow_proxy_without_users", "", "", "whether a server without users accepts requests from a proxy", boolean(func(c *config) *bool { return &c.AllowProxy })},
	{"tls.cert", "TLS_CERT", "", "certificate file for TLS without a proxy", text(func(c *config) *string { return &c.TLSCert }, isAny)},
	{"tls.key", "TLS_KEY", "", "private key file of the certificate", text(func(c *config) *string { return &c.TLSKey }, isAny)},
	{"health_addr", "HEALTH_ADDR", "health-addr", "address at which a worker serves /healthz, /readyz and /metrics", text(func(c *config) *string { return &c.HealthAddr }, isAddr)},
	{"data", "DATA_DIR", "data", "directory of the SQLite database", text(func(c *config) *string { return &c.Data }, isAny)},
	{"secret_key", "SECRET_KEY", "", "secret that encrypts the keys in the database; the same in all processes", secret(text(func(c *config) *string { return &c.SecretKey }, isSecretKey))},
	{"database_url", "DATABASE_URL", "database-url", "URL of the PostgreSQL database; without it, SQLite is used", location(text(func(c *config) *string { return &c.DatabaseURL }, isURL("postgres", "postgresql")))},
	{"redis_url", "REDIS_URL", "redis-url", "URL of Redis for live events, with PostgreSQL", location(text(func(c *config) *string { return &c.RedisURL }, isURL("redis", "rediss", "unix")))},
	{"redis_prefix", "REDIS_PREFIX", "", "prefix of all names in Redis", text(func(c *config) *string { return &c.RedisPrefix }, isAny)},
	{"concurrency", "CONCURRENCY", "concurrency", "how many jobs run at once", number(func(c *config) *int { return &c.Concurrency }, 1, 10_000)},
	{"worker", "", "", "whether serve also runs jobs", boolean(func(c *config) *bool { return &c.Worker })},
	{"migrate", "", "", "whether serve migrates the database", boolean(func(c *config) *bool { return &c.Migrate })},
	{"shutdown_timeout", "SHUTDOWN_TIMEOUT", "shutdown-timeout", "how long running jobs may continue when the program stops", duration(func(c *config) *time.Duration { return &c.ShutdownTimeout }, 0, time.Hour)},
	{"retain", "RETAIN", "", "how long a job's record is kept after its end", duration(func(c *config) *time.Duration { return &c.Retain }, time.Second, 365*24*time.Hour)},
	{"job_timeout", "", "", "longest timeout that a caller may request", duration(func(c *config) *time.Duration { return &c.JobTimeout }, time.Second, 366*24*time.Hour)},
	{"cancel_grace", "", "", "how long a job may continue after it was canceled or timed out, before its run is abandoned", duration(func(c *config) *time.Duration { return &c.CancelGrace }, 100*time.Millisecond, time.Hour)},
	{"log.level", "LOG_LEVEL", "", "debug, info, warn or error", text(func(c *config) *string { return &c.LogLevel }, isOneOf("debug", "info", "warn", "error"))},
	{"log.format", "LOG_FORMAT", "", "text, json, or auto: text on a terminal", text(func(c *config) *string { return &c.LogFormat }, isOneOf("auto", "text", "json"))},
	{"httpauth", "", "", "users and their password hashes", decoded(func(c *config) *map[string]string { return &c.Users }, "names with hashes: `alice: \"$argon2id$…\"`")},
	{"api_keys", "", "", "users and the hashes of their API keys", decoded(func(c *config) *map[string][]string { return &c.APIKeys }, "names with lists of hashes: `ci: [\"sha256:…\"]`")},
	{"admins", "", "", "users who see all jobs", decoded(func(c *config) *[]string { return &c.Admins }, "a list of names")},
	{"commands", "", "", "services that run a program", configured(command.Parse, func(c *config) *[]*command.Command { return &c.Commands })},
	{"upstreams", "", "", "services that call an HTTP server", configured(upstream.Parse, func(c *config) *[]*upstream.Upstream { return &c.Upstreams })},
	{"allowed_services", "", "", "users and the services they may run; users who are not listed may run all", decoded(func(c *config) *map[string][]string { return &c.AllowedServices }, "names with lists of services: `ci: [sleep]`")},
	{"river_ui", "", "", "whether admins may view and change River's own tables, under /admin/river", boolean(func(c *config) *bool { return &c.RiverUI })},
	{"files.dir", "FILES_DIR", "", "directory for files that jobs return; with PostgreSQL, all processes must share it. Default: files in the data directory, with SQLite", text(func(c *config) *string { return &c.FilesDir }, isAny)},
	{"files.s3.endpoint", "FILES_S3_ENDPOINT", "", "URL of an S3-compatible store for files, instead of files.dir. Default: AWS", text(func(c *config) *string { return &c.FilesS3.Endpoint }, isOrigin)},
	{"files.s3.bucket", "FILES_S3_BUCKET", "", "bucket for files", text(func(c *config) *string { return &c.FilesS3.Bucket }, isBucket)},
	{"files.s3.prefix", "FILES_S3_PREFIX", "", "prefix of the keys of files", text(func(c *config) *string { return &c.FilesS3.Prefix }, isKeyPrefix)},
	{"files.s3.region", "FILES_S3_REGION", "", "region of the bucket", text(func(c *config) *string { return &c.FilesS3.Region }, isAny)},
	{"files.s3.access_key", "AWS_ACCESS_KEY_ID", "", "access key ID for the bucket", secret(text(func(c *config) *string { return &c.FilesS3.AccessKey }, isAny))},
	{"files.s3.secret_key", "AWS_SECRET_ACCESS_KEY", "", "secret access key for the bucket", secret(text(func(c *config) *string { return &c.FilesS3.SecretKey }, isAny))},
	{"files.s3.session_token", "AWS_SESSION_TOKEN", "", "session token of temporary keys", secret(text(func(c *config) *string { return &c.FilesS3.SessionToken }, isAny))},
	{"files.max_file", "", "", "largest file of a job, such as 1GiB", size(func(c *config) *int64 { return &c.FileLimits.File }, 1<<44)},
	{"files.max_total", "", "", "maximum size of the files of all jobs, such as 20GiB", size(func(c *config) *int64 { return &c.FileLimits.Total }, 1<<50)},
	{"limits.max_body", "", "", "largest request body, such as 1MiB", size(func(c *config) *int64 { return &c.MaxBody }, 64<<20)},
	{"limits.max_output", "", "", "largest output of a job as JSON, such as 4MiB; a larger one can be a file", size(func(c *config) *int64 { return &c.MaxOutput }, 64<<20)},
	{"limits.max_queued", "", "", "maximum number of waiting jobs", number(func(c *config) *int64 { return &c.MaxQueued }, 1, 1_000_000_000)},
	{"limits.max_queued_by_user", "", "", "maximum number of waiting jobs of each user; 0 means no limit", number(func(c *config) *int64 { return &c.MaxQueuedByUser }, 0, 1_000_000_000)},
	{"limits.max_connections", "", "", "maximum number of connections; 0 means as many as the limit of open files allows, at most 20,000", number(func(c *config) *int64 { return &c.MaxConnections }, 0, 1_000_000)},
	{"limits.max_streams", "", "", "maximum number of event streams and waiting requests", number(func(c *config) *int64 { return &c.Streams.Total }, 1, 1_000_000)},
	{"limits.streams_per_address", "", "", "maximum number of streams for one address", number(func(c *config) *int64 { return &c.Streams.PerAddress }, 1, 1_000_000)},
	{"limits.streams_per_user", "", "", "maximum number of streams with one user's credentials", number(func(c *config) *int64 { return &c.Streams.PerUser }, 1, 1_000_000)},
	{"limits.streams_per_job", "", "", "maximum number of streams for one job", number(func(c *config) *int64 { return &c.Streams.PerJob }, 1, 1_000_000)},
	{"limits.stream_age", "", "", "how long a stream lasts before its viewer must reconnect", duration(func(c *config) *time.Duration { return &c.Streams.Age }, time.Minute, 24*time.Hour)},
	{"limits.submit_rate", "", "", "jobs a user may submit per second; 0 means no limit", rate(func(c *config) *float64 { return &c.SubmitRate })},
	{"callbacks.allow", "", "", "networks and hosts that callbacks may reach although they are not public", decoded(func(c *config) *[]string { return &c.Callbacks.Allow }, "a list such as [10.1.0.0/16, hooks.internal]")},
	{"callbacks.proxy_url", "", "", "HTTP proxy for callbacks", location(text(func(c *config) *string { return &c.Callbacks.ProxyURL }, isURL("http", "https", "socks5")))},
	{"callbacks.proxy_resolves", "", "", "whether the proxy for callbacks resolves names and decides which addresses they may reach", boolean(func(c *config) *bool { return &c.Callbacks.ProxyResolves })},
	{"callbacks.timeout", "", "", "timeout of an attempt to send a callback", duration(func(c *config) *time.Duration { return &c.Callbacks.Timeout }, time.Second, 45*time.Second)},
	{"callbacks.concurrency", "", "", "how many callbacks are sent at once", number(func(c *config) *int { return &c.Callbacks.Concurrency }, 1, 10_000)},
	{"callbacks.schedule", "", "", "delay before each attempt", setter{setSchedule, showSchedule}},
	{"callbacks.hold", "", "", "how long attempts to a failing receiver pause at first", duration(func(c *config) *time.Duration { return &c.Callbacks.Hold }, 100*time.Millisecond, time.Hour)},
	// Settings of the Python skeleton.
	{"celery.broker_url", "", "", "", setter{set: text(func(c *config) *string { return &c.RedisURL }, isURL("redis", "rediss", "unix")).set}},
	{"celery.result_backend", "", "", "", setter{set: func(*config, *yaml.Node) error { return nil }}},
	{"celery.result_expires", "", "", "", seconds(func(c *config) *time.Duration { return &c.Retain })},
}

// load returns the configuration, or all errors in it. flags are the flags set on the
// command line.
func load(file string, getenv func(string) string, flags map[string]string) (*config, error) {
	c := defaults()
	var errs []error
	if file == "" {
		file = getenv("CONFIG_FILENAME")
	}
	if file != "" {
		errs = append(errs, c.readFile(file)...)
	}
	for _, s := range settings {
		if value := getenv(s.env); s.env != "" && value != "" {
			if err := s.set(c, &yaml.Node{Kind: yaml.ScalarNode, Value: value}); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", s.env, err))
			}
			c.setSource(s.key, s.env)
		}
		if value, ok := flags[s.flag]; s.flag != "" && ok {
			if err := s.set(c, &yaml.Node{Kind: yaml.ScalarNode, Value: value}); err != nil {
				errs = append(errs, fmt.Errorf("--%s: %w", s.flag, err))
			}
			c.setSource(s.key, "--"+s.flag)
		}
	}
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	if _, err := auth.New(c.credentials()); err != nil {
		errs = append(errs, err)
	}
	if _, err := notify.NewGuard(notify.GuardConfig{Allow: c.Callbacks.Allow}); err != nil {
		errs = append(errs, fmt.Errorf("callbacks.allow: %w", err))
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		errs = append(errs, errors.New("tls: expected both cert and key, or neither"))
	}
	errs = append(errs, c.checkS3()...)
	if c.RedisURL != "" && c.DatabaseURL == "" {
		c.warnings = append(c.warnings, "Redis is not used, because without PostgreSQL (database_url) there is only one process, which stores jobs in SQLite")
	}
	if err := errors.Join(errs...); err != nil {
		return nil, &usageError{err}
	}
	return c, nil
}

func (c *config) credentials() auth.Credentials {
	return auth.Credentials{Users: c.Users, APIKeys: c.APIKeys, Admins: c.Admins, Services: c.AllowedServices}
}

// open reports whether there are no users.
func (c *config) open() bool { return len(c.Users) == 0 && len(c.APIKeys) == 0 }

// checkOpen returns an error if other machines could reach the server although it has
// no users, or no configured host name.
func (c *config) checkOpen() error {
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return fmt.Errorf("addr: %w", err)
	}
	addr, err := netip.ParseAddr(host)
	switch {
	case host == "localhost" || err == nil && addr.IsLoopback():
		return nil
	case !c.open() && (c.PublicURL != "" || len(c.Hosts) > 0):
		return nil
	case !c.open():
		return &usageError{fmt.Errorf("to listen on %s, the server must know its own name: set public_url, such as https://jobs.example.com, or hosts; requests to other names are refused", c.Addr)}
	}
	return &usageError{fmt.Errorf("without users, the server may listen only on this machine, not on %s: add users under httpauth in the file given by --config (`coatcheck hash-password` prints the hash), or listen on 127.0.0.1", c.Addr)}
}
