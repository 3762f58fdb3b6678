package main

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"coatcheck/api"
)

// rows returns the configuration in force for the page /settings, without secrets.
func (c *config) rows() []api.Setting {
	var rows []api.Setting
	for _, s := range settings {
		if s.show != nil {
			rows = append(rows, api.Setting{Name: s.key, Value: s.show(c), Help: s.help, Source: c.sources[s.key]})
		}
	}
	return rows
}

// setSource records where the value of a setting comes from.
func (c *config) setSource(key, source string) {
	if c.sources == nil {
		c.sources = make(map[string]string)
	}
	switch key { // names of the Python skeleton
	case "celery.broker_url":
		key = "redis_url"
	case "celery.result_expires":
		key = "retain"
	}
	c.sources[key] = source
}

// withUsers returns a copy of the configuration with the users of another.
func (c *config) withUsers(other *config) *config {
	changed := *c
	changed.Users, changed.APIKeys, changed.Admins, changed.AllowedServices = other.Users, other.APIKeys, other.Admins, other.AllowedServices
	changed.sources = maps.Clone(c.sources)
	for _, key := range []string{"httpauth", "api_keys", "admins", "allowed_services"} {
		delete(changed.sources, key)
		if source := other.sources[key]; source != "" {
			changed.setSource(key, source)
		}
	}
	return &changed
}

// secret makes a setter show only whether the setting has a value.
func secret(s setter) setter {
	return setter{s.set, func(c *config) string {
		if s.show(c) == "" {
			return ""
		}
		return "set (hidden)"
	}}
}

// location makes a setter show only the scheme, host and path of a URL: its user and its query
// may contain a password.
func location(s setter) setter {
	return setter{s.set, func(c *config) string {
		value := s.show(c)
		if value == "" {
			return ""
		}
		u, err := url.Parse(value)
		if err != nil {
			return "set (hidden)"
		}
		return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
	}}
}

// showList shows a list, or only the names in a mapping: its values may be secret.
func showList(value any) string {
	switch v := value.(type) {
	case []string:
		return strings.Join(v, ", ")
	case []netip.Prefix:
		return strings.Trim(fmt.Sprint(v), "[]")
	case map[string]string:
		return strings.Join(slices.Sorted(maps.Keys(v)), ", ")
	case map[string][]string:
		return strings.Join(slices.Sorted(maps.Keys(v)), ", ")
	}
	return "set (hidden)"
}

func showSchedule(c *config) string {
	texts := make([]string, len(c.Callbacks.Schedule))
	for i, d := range c.Callbacks.Schedule {
		texts[i] = shortDuration(d)
	}
	return strings.Join(texts, ", ")
}

// shortDuration formats a duration as in the configuration file: 24h, not 24h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if short, ok := strings.CutSuffix(s, "m0s"); ok {
		s = short + "m"
	}
	if short, ok := strings.CutSuffix(s, "h0m"); ok {
		s = short + "h"
	}
	return s
}
