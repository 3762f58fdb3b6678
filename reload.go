package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"sync/atomic"
	"syscall"

	"coatcheck/api/auth"
	"coatcheck/jobs"
)

// notifyHangup returns a channel that receives SIGHUP, the request to reload the
// configuration. Until stop is called, SIGHUP does not end the process.
func notifyHangup() (hup <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// A reloader reloads the settings that can change while the server runs: users, API
// keys, admins, allowed services and the certificate.
type reloader struct {
	// read loads the current configuration.
	read    func() (*config, error)
	running *config
	// shown is the configuration that the page /settings shows.
	shown    *atomic.Pointer[config]
	services *jobs.Registry
	auth     *auth.Authenticator
	cert     *certificate // nil without TLS
	logger   *slog.Logger
}

// reload applies the changed settings. After an error, the old ones stay in effect.
func (r *reloader) reload(ctx context.Context) {
	c, err := r.read()
	if err == nil {
		err = c.checkServices(r.services)
	}
	if err == nil {
		err = r.auth.Reload(c.credentials())
	}
	if err != nil {
		r.logger.ErrorContext(ctx, "configuration not reloaded, the previous users stay in effect", "err", err)
	} else {
		r.shown.Store(r.shown.Load().withUsers(c))
		r.logger.InfoContext(ctx, "configuration reloaded: users, API keys, admins and allowed services")
		if r.otherSettingsChanged(c) {
			r.logger.WarnContext(ctx, "other settings have changed too: restart the server to apply them")
		}
	}
	if r.cert == nil {
		return
	}
	if err := r.cert.reload(); err != nil {
		r.logger.ErrorContext(ctx, "certificate not reloaded, the previous one stays in use", "err", err)
	} else {
		r.logger.InfoContext(ctx, "certificate reloaded", "file", r.cert.cert)
	}
}

// otherSettingsChanged reports whether a configuration differs from the running one in
// settings that cannot be reloaded.
func (r *reloader) otherSettingsChanged(c *config) bool {
	other, running := *c, *r.running
	for _, c := range []*config{&other, &running} {
		c.Users, c.APIKeys, c.Admins, c.AllowedServices, c.warnings, c.sources = nil, nil, nil, nil, nil, nil
		c.Commands, c.Upstreams = nil, nil // their descriptions are compared
	}
	return !reflect.DeepEqual(other, running)
}
