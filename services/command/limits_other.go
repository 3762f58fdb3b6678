//go:build !linux

package command

import "errors"

const canLimit = false

func (limits) become(string, []string) error {
	return errors.New("programs can be limited on Linux only")
}
