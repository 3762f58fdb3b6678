package main

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"coatcheck/jobs"
	"coatcheck/jobs/schema"
)

// checkCommand returns the command that reports all errors in the configuration.
func (p *program) checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check", Short: "Check the configuration without starting the server", Args: noArguments,
		Long: "Reads the configuration like `coatcheck serve`, and reports all errors with their file and line: invalid settings and schemas,\n" +
			"and programs and files that are missing on this machine. The exit code is 2 if there are any.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.configure(cmd)
			if err != nil {
				return err
			}
			registry := new(jobs.Registry)
			p.services(registry)
			if err := c.addServices(registry); err != nil {
				return err
			}
			if err := c.checkServices(registry); err != nil {
				return err
			}
			if _, err := schema.NewValidator(registry); err != nil {
				return &usageError{err}
			}
			if c.TLSCert != "" {
				if _, err := openCertificate(c.TLSCert, c.TLSKey, slog.New(slog.DiscardHandler)); err != nil {
					return err
				}
			}
			var names []string
			for s := range registry.All() {
				names = append(names, s.Name)
			}
			_, err = fmt.Fprintf(p.stdout, "The configuration is valid. Services: %s\n", strings.Join(names, ", "))
			return err
		},
	}
	addFlags(cmd)
	return cmd
}
