package main

import (
	"fmt"
	"strings"

	"coatcheck/jobs"
)

// announce prints the id and the page of a new job on standard error. The URL contains the id in place of the token,
// which must not end up in the logs of scripts.
func (p *program) announce(job *jobs.Job) {
	page := job.WebURL
	if job.Token != "" {
		page = strings.Replace(page, string(job.Token), job.ID, 1)
	}
	fmt.Fprintf(p.stderr, "Submitted %s: %s\n", job.ID, page)
}
