package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"syscall"

	"coatcheck/api/auth"
	"coatcheck/jobs"
)

// hangUps returns a channel with the requests to read the configuration again
// (SIGHUP), which end no process that has asked for them. Call stop at the end.
func hangUps() (hup <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// A reloader reads again what can change while the server runs: the users and
// the certificate.
type reloader struct {
	// read returns the configuration as it is now.
	read     func() (*config, error)
	running  *config
	services *jobs.Registry
	auth     *auth.Authenticator
	cert     *certificate // nil without TLS
	logger   *slog.Logger
}

// reload takes what has changed; what has a mistake stays as it was.
func (r *reloader) reload(ctx context.Context) {
	c, err := r.read()
	if err == nil {
		err = c.checkServices(r.services)
	}
	if err == nil {
		err = r.auth.Reload(c.credentials())
	}
	if err != nil {
		r.logger.ErrorContext(ctx, "configuration not read again, users stay as they were", "err", err)
	} else {
		r.logger.InfoContext(ctx, "configuration read again: users, API keys, admins and allowed services are those in it")
		if r.othersDiffer(c) {
			r.logger.WarnContext(ctx, "other settings have changed too: restart the server for them")
		}
	}
	if r.cert == nil {
		return
	}
	if err := r.cert.reload(); err != nil {
		r.logger.ErrorContext(ctx, "certificate not read again, the one before goes on", "err", err)
	} else {
		r.logger.InfoContext(ctx, "certificate read again", "file", r.cert.cert)
	}
}

// othersDiffer reports whether a configuration differs from the running one in
// what can't be reloaded.
func (r *reloader) othersDiffer(c *config) bool {
	other, running := *c, *r.running
	for _, c := range []*config{&other, &running} {
		c.Users, c.APIKeys, c.Admins, c.AllowedServices, c.warnings = nil, nil, nil, nil, nil
	}
	return !reflect.DeepEqual(other, running)
}
