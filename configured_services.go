package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"coatcheck/jobs"
	"coatcheck/services/spec"
)

// A configuredService is a service defined in the configuration.
type configuredService interface {
	Register(registry *jobs.Registry) spec.Errors
	Missing() spec.Errors
	NeedsFiles() spec.Errors
}

// addServices registers the services defined in the configuration. If this process
// runs jobs, it returns an error for programs and files that are missing here.
func (c *config) addServices(registry *jobs.Registry) error {
	var services []configuredService
	for _, s := range c.Commands {
		s.StopWithin(c.CancelGrace)
		services = append(services, s)
	}
	for _, s := range c.Upstreams {
		services = append(services, s)
	}
	var errs []error
	for _, s := range services {
		errs = append(errs, s.Register(registry).In(c.file)...)
		if !c.storesFiles() {
			errs = append(errs, s.NeedsFiles().In(c.file)...)
		}
		if c.Worker {
			errs = append(errs, s.Missing().In(c.file)...)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return &usageError{err}
	}
	return nil
}

// checkServices returns an error if allowed_services has unknown services.
func (c *config) checkServices(registry *jobs.Registry) error {
	var errs []error
	var all []string
	for s := range registry.All() {
		all = append(all, s.Name)
	}
	for _, user := range slices.Sorted(maps.Keys(c.AllowedServices)) {
		for _, name := range c.AllowedServices[user] {
			if !slices.Contains(all, name) {
				errs = append(errs, fmt.Errorf("allowed_services of %q: unknown service %q; expected one of %s", user, name, strings.Join(all, ", ")))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return &usageError{err}
	}
	return nil
}
