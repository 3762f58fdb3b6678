package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// completeService completes the name of a service, the first argument of a command, in a shell.
func (p *program) completeService(
	server *string,
) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := p.newClient(*server)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
		defer cancel()
		return c.Services(ctx), cobra.ShellCompDirectiveNoFileComp
	}
}
