package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

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

// An inputSchema is what people want to know of a JSON Schema of an object.
type inputSchema struct {
	Properties map[string]fieldSchema
	Required   []string
}

// A fieldSchema is the schema of one field.
type fieldSchema struct {
	Type, Default, Const, Minimum, Maximum, MinLength, MaxLength json.RawMessage

	Enum                        []json.RawMessage
	Description, Pattern, Title string
	Format                      string
	Items                       *fieldSchema
}

// isFile reports whether the field is a file.
func (f *fieldSchema) isFile() bool { return string(f.Type) == `"string"` && f.Format == "binary" }

// print prints the fields of the input, required ones first.
func (s *inputSchema) print(w io.Writer) error {
	if len(s.Properties) == 0 {
		_, err := fmt.Fprint(w, "\nThe input has no described fields; set it with --input.\n")
		return err
	}
	names := slices.Sorted(maps.Keys(s.Properties))
	slices.SortStableFunc(names, func(a, b string) int { return s.rank(a) - s.rank(b) })
	fmt.Fprint(w, "\nInput:\n")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, name := range names {
		field := s.Properties[name]
		need := "optional"
		if slices.Contains(s.Required, name) {
			need = "required"
		}
		cells := []string{name, field.typeText(), need, field.text()}
		for i := range cells {
			cells[i] = strings.Join(strings.Fields(client.Printable(cells[i])), " ")
		}
		fmt.Fprintln(tw, strings.TrimRight("  "+strings.Join(cells, "\t"), "\t"))
	}
	return tw.Flush()
}

// rank orders required fields before others.
func (s *inputSchema) rank(name string) int {
	if slices.Contains(s.Required, name) {
		return 0
	}
	return 1
}

// typeText returns the type of a field, without null.
func (f *fieldSchema) typeText() string {
	switch {
	case f.isFile():
		return "file"
	case string(f.Type) == `"array"` && f.Items != nil && f.Items.isFile():
		return "files"
	}
	var types []string
	var one string
	if json.Unmarshal(f.Type, &one) == nil {
		return one
	}
	if json.Unmarshal(f.Type, &types) != nil || len(types) == 0 {
		return "JSON"
	}
	return strings.Join(slices.DeleteFunc(types, func(t string) bool { return t == "null" }), " or ")
}

// text returns the description of a field, with its limits.
func (f *fieldSchema) text() string {
	var limits []string
	if len(f.Enum) > 0 {
		var values []string
		for _, v := range f.Enum {
			values = append(values, strings.Trim(string(v), `"`))
		}
		limits = append(limits, "one of "+strings.Join(values, ", "))
	}
	add := func(name string, value json.RawMessage) {
		if len(value) > 0 && string(value) != "null" {
			limits = append(limits, name+" "+string(value))
		}
	}
	add("always", f.Const)
	add("at least", f.Minimum)
	add("at most", f.Maximum)
	add("min. length", f.MinLength)
	add("max. length", f.MaxLength)
	add("default", f.Default)
	if f.Format != "" && f.typeText() == "string" { // the format of a number is its size in bits
		limits = append(limits, "format "+f.Format)
	}
	if f.Pattern != "" {
		limits = append(limits, "pattern "+f.Pattern)
	}
	description := f.Description
	if description == "" {
		description = f.Title
	}
	if len(limits) == 0 {
		return description
	}
	return strings.TrimSpace(description + " (" + strings.Join(limits, "; ") + ")")
}
