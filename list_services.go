package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"coatcheck/api/client"
)

func (p *program) servicesCommand() *cobra.Command {
	r := &remote{program: p}
	cmd := r.command(&cobra.Command{
		Use: "services [SERVICE]", Short: "List the services, or show the input of one", Args: oneArgument("[SERVICE]"),
		Long: "Lists the services that you can run, with their summaries. With a name, shows the description of that service and the\n" +
			"fields of its input.",
		Example: "  coatcheck services\n  coatcheck services sleep",
	}, func(ctx context.Context, args []string) error {
		if len(args) == 0 {
			return r.printServices(ctx)
		}
		return r.printService(ctx, args[0])
	})
	cmd.ValidArgsFunction = p.completeService(&r.server)
	return cmd
}

// A describedService is a service as the server describes it.
type describedService struct {
	Name        string
	Summary     string
	Timeout     string
	MaxAttempts int         `json:"max_attempts"`
	Input       inputSchema `json:"input_schema"`
}

// printServices prints a list of the services.
func (r *remote) printServices(ctx context.Context) error {
	var list struct {
		Data []json.RawMessage `json:"data"`
	}
	if _, err := r.client.Call(ctx, http.MethodGet, r.client.URL+"/v1/services", nil, nil, &list); err != nil {
		return err
	}
	if r.json {
		return printJSON(r.stdout, list)
	}
	t := table{heading: []string{"SERVICE", "SUMMARY"}}
	for _, item := range list.Data {
		var s describedService
		if err := json.Unmarshal(item, &s); err != nil {
			return fmt.Errorf("list services: %w", err)
		}
		t.add(s.Name, s.Summary)
	}
	return t.print(r.stdout)
}

// printService prints the description of a service.
func (r *remote) printService(ctx context.Context, name string) error {
	var text json.RawMessage
	if _, err := r.client.Call(ctx, http.MethodGet, r.client.ServiceURL(name), nil, nil, &text); err != nil {
		return serviceError(err)
	}
	if r.json {
		return printJSON(r.stdout, text)
	}
	var s describedService
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("read service: %w", err)
	}
	if err := details(r.stdout,
		[2]string{"Service", s.Name}, [2]string{"Summary", s.Summary}, [2]string{"Timeout", s.Timeout},
		[2]string{"Attempts", strconv.Itoa(s.MaxAttempts)},
	); err != nil {
		return err
	}
	return s.Input.print(r.stdout)
}

// serviceError adds to the error for an unknown service how to find the others.
func serviceError(err error) error {
	if e, ok := errors.AsType[*client.ProblemError](err); ok && e.Status == http.StatusNotFound {
		return fmt.Errorf("%w. `coatcheck services` lists them", err)
	}
	return err
}
