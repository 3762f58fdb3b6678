package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"coatcheck/notify"
	"coatcheck/services/spec"
)

// A setter sets a setting to a value, and shows it to admins.
type setter struct {
	set func(c *config, value *yaml.Node) error
	// show returns the value in force, without secrets, or "" for none. If it is nil, the setting is another
	// name of a setting.
	show func(c *config) string
}

func scalar(node *yaml.Node, want string) (string, error) {
	if node.Kind != yaml.ScalarNode {
		return "", errors.New("expected " + want)
	}
	return strings.TrimSpace(node.Value), nil
}

// text sets a text that check accepts. An empty text clears the setting.
func text(field func(*config) *string, check func(string) error) setter {
	set := func(c *config, node *yaml.Node) error {
		s, err := scalar(node, "text")
		if err == nil && s != "" {
			err = check(s)
		}
		if err == nil {
			*field(c) = s
		}
		return err
	}
	return setter{set, func(c *config) string { return *field(c) }}
}

func number[T int | int64](field func(*config) *T, lowest, highest T) setter {
	set := func(c *config, node *yaml.Node) error {
		want := fmt.Errorf("expected a whole number from %d to %d", lowest, highest)
		s, err := scalar(node, "a number")
		if err != nil {
			return want
		}
		n, err := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64)
		if err != nil || n < int64(lowest) || n > int64(highest) {
			return want
		}
		*field(c) = T(n)
		return nil
	}
	return setter{set, func(c *config) string { return strconv.FormatInt(int64(*field(c)), 10) }}
}

// size sets a number of bytes, given as a number or with a unit.
func size(field func(*config) *int64, highest int64) setter {
	const lowest = 1 << 10
	set := func(c *config, node *yaml.Node) error {
		s, err := scalar(node, "a size")
		if err != nil {
			return err
		}
		n, ok := spec.ParseSize(s)
		if !ok || n < lowest || n > highest {
			return fmt.Errorf("expected a size from %s to %s, such as 4MiB", iec(lowest), iec(highest))
		}
		*field(c) = n
		return nil
	}
	return setter{set, func(c *config) string { return iec(*field(c)) }}
}

// iec returns a size, a power of two, in the largest unit that needs no fraction.
func iec(bytes int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	i := 0
	for ; bytes%1024 == 0 && i < len(units)-1; i++ {
		bytes /= 1024
	}
	return strconv.FormatInt(bytes, 10) + units[i]
}

func rate(field func(*config) *float64) setter {
	set := func(c *config, node *yaml.Node) error {
		s, err := scalar(node, "a number")
		if err != nil {
			return err
		}
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || !(n >= 0 && n <= 1e6) || n > 0 && n < 0.001 {
			return errors.New("expected 0, or a number from 0.001 to 1000000")
		}
		*field(c) = n
		return nil
	}
	return setter{set, func(c *config) string { return strconv.FormatFloat(*field(c), 'f', -1, 64) }}
}

func boolean(field func(*config) *bool) setter {
	set := func(c *config, node *yaml.Node) error {
		s, err := scalar(node, "true or false")
		switch {
		case err != nil:
			return err
		case s != "true" && s != "false":
			return errors.New("expected true or false")
		}
		*field(c) = s == "true"
		return nil
	}
	return setter{set, func(c *config) string { return strconv.FormatBool(*field(c)) }}
}

func duration(field func(*config) *time.Duration, lowest, highest time.Duration) setter {
	set := func(c *config, node *yaml.Node) error {
		s, err := scalar(node, "a duration such as 20s, 15m or 24h")
		if err != nil {
			return err
		}
		d, err := time.ParseDuration(s)
		if err != nil {
			return errors.New("expected a duration such as 20s, 15m or 24h")
		}
		if d < lowest || d > highest {
			return fmt.Errorf("expected %s to %s", lowest, highest)
		}
		*field(c) = d
		return nil
	}
	return setter{set, func(c *config) string { return shortDuration(*field(c)) }}
}

// seconds sets a duration given in seconds, as in Celery's configuration.
func seconds(field func(*config) *time.Duration) setter {
	set := func(c *config, node *yaml.Node) error {
		s, err := scalar(node, "a number of seconds")
		if err != nil {
			return err
		}
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || !(n >= 1 && n <= 366*24*3600) {
			return errors.New("expected a number of seconds, from 1 to a year")
		}
		*field(c) = time.Duration(n * float64(time.Second))
		return nil
	}
	return setter{set, nil}
}

func setSchedule(c *config, node *yaml.Node) error {
	const want = "expected a list of up to 100 durations, the first being 0s, such as [0s, 5s, 1m]"
	var texts []string
	if node.Decode(&texts) != nil || len(texts) == 0 || len(texts) > 100 {
		return errors.New(want)
	}
	var s notify.Schedule
	for i, text := range texts {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || d > 7*24*time.Hour || i == 0 && d != 0 {
			return errors.New(want)
		}
		s = append(s, d)
	}
	c.Callbacks.Schedule = s
	return nil
}

// decoded sets a list or mapping. Its error does not quote the value, which may be
// secret.
func decoded[T any](field func(*config) *T, want string) setter {
	set := func(c *config, node *yaml.Node) error {
		var v T
		if err := node.Decode(&v); err != nil {
			return errors.New("expected " + want)
		}
		*field(c) = v
		return nil
	}
	return setter{set, func(c *config) string { return showList(*field(c)) }}
}

// configured sets services that are defined in the file. They may contain secrets, so only
// their number is shown.
func configured[T any](parse func(node *yaml.Node, dir string) ([]T, error), field func(*config) *[]T) setter {
	set := func(c *config, node *yaml.Node) error {
		dir, err := filepath.Abs(filepath.Dir(c.file))
		if err != nil {
			return err
		}
		text, err := yaml.Marshal(node)
		if err != nil {
			return err
		}
		c.described = append(c.described, string(text))
		*field(c), err = parse(node, dir)
		return err
	}
	return setter{set, func(c *config) string { return strconv.Itoa(len(*field(c))) + " defined" }}
}
