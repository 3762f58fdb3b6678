package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"coatcheck/api/auth"
	"coatcheck/jobs"

	"github.com/spf13/cobra"
)

func (p *program) keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", Short: "Manage the keys that callbacks are signed with", Args: noArguments,
		Long: "Callbacks are signed as Standard Webhooks 1.0 says: with the server's own key (v1a), whose public half whpk_… is for all,\n" +
			"and with the secrets whsec_… (v1) that a user shares with the server. Either verifies them.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return &usageError{fmt.Errorf("expected `%s list`, `create`, `rotate` or `revoke`", cmd.CommandPath())}
		},
	}
	var server bool
	var grace time.Duration
	add := func(use, argument, short, long string, run func(ctx context.Context, c *config, user, argument string) error) *cobra.Command {
		sub := &cobra.Command{Use: use + " " + argument, Short: short, Long: long, Args: oneArgument(argument)}
		user := ""
		sub.RunE = func(cmd *cobra.Command, args []string) error {
			c, err := p.configure(cmd)
			if err != nil {
				return err
			}
			first := ""
			if len(args) == 1 {
				first = args[0]
			}
			owner := cmp.Or(user, auth.LocalUser)
			if strings.Contains(argument, "USER") {
				owner = cmp.Or(first, auth.LocalUser)
			}
			if server {
				owner = ""
			}
			return run(cmd.Context(), c, owner, first)
		}
		if !strings.Contains(argument, "USER") {
			sub.Flags().StringVar(&user, "user", "", "whose key it is")
		}
		if use != "list" {
			sub.Flags().BoolVar(&server, "server", false, "the server's own key, not a user's")
		}
		addFlags(sub, "data", "database_url")
		cmd.AddCommand(sub)
		return sub
	}
	add("list", "[USER]", "List the keys that callbacks to a user are signed with", "Lists the keys of a user and the server's own, without their secrets.",
		func(ctx context.Context, c *config, user, _ string) error { return p.listKeys(ctx, c, user) })
	add("create", "[USER]", "Make another key", "Makes a key that signs beside those there are, and prints it this once.",
		func(ctx context.Context, c *config, user, _ string) error { return p.createKey(ctx, c, user, nil) })
	rotate := add("rotate", "[USER]", "Make a new key in the place of the old ones", "Makes a key and prints it this once. The old ones go on signing for the grace, so that receivers have time to change over.",
		func(ctx context.Context, c *config, user, _ string) error {
			if grace < 0 || grace > jobs.MaxGrace {
				return &usageError{fmt.Errorf("--grace: expected 0 to %s", jobs.MaxGrace)}
			}
			return p.createKey(ctx, c, user, &grace)
		})
	rotate.Flags().DurationVar(&grace, "grace", 24*time.Hour, "how long the old keys go on signing; 0 means not at all")
	add("revoke", "ID", "End a key now", "Callbacks are no longer signed with the key.",
		func(ctx context.Context, c *config, user, id string) error { return p.revokeKey(ctx, c, user, id) })
	return cmd
}
