package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coatcheck/api/auth"
	"coatcheck/jobs/keys"
)

func (p *program) keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", Short: "Manage the keys that callbacks are signed with", Args: noArguments,
		Long: "Callbacks are signed as in Standard Webhooks 1.0: with the server's own key (v1a), which any receiver can verify with its public key whpk_…,\n" +
			"and with the secrets whsec_… (v1) that a user shares with the server. Verifying either signature is enough.",
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
			sub.Flags().StringVar(&user, "user", "", "owner of the key")
		}
		if use != "list" {
			sub.Flags().BoolVar(&server, "server", false, "use the server's own key instead of a user's")
		}
		addFlags(sub, "data", "database_url")
		cmd.AddCommand(sub)
		return sub
	}
	add("list", "[USER]", "List the keys that callbacks to a user are signed with", "Lists the keys of a user and the server's own, without their secrets.",
		func(ctx context.Context, c *config, user, _ string) error { return p.listKeys(ctx, c, user) })
	add("create", "[USER]", "Create an additional key", "Creates a key that signs in addition to the existing ones, and prints it. It cannot be shown again.",
		func(ctx context.Context, c *config, user, _ string) error { return p.createKey(ctx, c, user, nil) })
	rotate := add("rotate", "[USER]", "Replace all keys with a new one", "Creates a key and prints it. It cannot be shown again. The old keys continue to sign for the grace period, so that receivers have time to switch.",
		func(ctx context.Context, c *config, user, _ string) error {
			if grace < 0 || grace > keys.MaxGrace {
				return &usageError{fmt.Errorf("--grace: expected 0 to %s", keys.MaxGrace)}
			}
			return p.createKey(ctx, c, user, &grace)
		})
	rotate.Flags().DurationVar(&grace, "grace", 24*time.Hour, "how long the old keys continue to sign; 0 revokes them now")
	add("revoke", "ID", "Revoke a key now", "Revokes a key: callbacks are no longer signed with it.",
		func(ctx context.Context, c *config, user, id string) error { return p.revokeKey(ctx, c, user, id) })
	return cmd
}
