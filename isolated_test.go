//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/files"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/keys"
)

// keepEnvironment stores a draft, and then the environment of a program that it runs.
func keepEnvironment(ctx context.Context, _ struct{}) (jobs.File, error) {
	if _, err := jobs.SaveFile(ctx, "draft", "", strings.NewReader("draft")); err != nil {
		return jobs.File{}, err
	}
	text, err := exec.CommandContext(ctx, "env").Output()
	if err != nil {
		return jobs.File{}, err
	}
	return jobs.SaveFile(ctx, "env.txt", "", bytes.NewReader(text))
}

// An isolated run stores files where its server does. The secrets of the store are neither in its
// arguments nor in the environment of programs that it runs.
func TestIsolatedFiles(t *testing.T) {
	t.Parallel()
	s3 := jobstest.NewS3(t)
	store, err := files.OpenS3(t.Context(), s3.Config, "test", files.Limits{File: 1 << 20, Total: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := isolate(defaults(), store)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if args := strings.Join(cmd.Args, " "); strings.Contains(args, jobstest.S3Secret) {
		t.Errorf("the arguments are %s", args)
	}
	if cmd.Path, err = exec.LookPath("torture"); err != nil { // this program, with its services
		t.Fatal(err)
	}
	cmd.Args[0] = "torture"
	job, err := keys.NewID("job_")
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	request, err := json.Marshal(map[string]any{
		"service": "keep", "job_id": job, "run_id": "1", "input": struct{}{}, "timeout": time.Minute, "grace": time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stdin.Write(append(request, '\n')); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, log.String())
	}
	stored := s3.Keys(t)
	if len(stored) != 2 || !strings.HasPrefix(stored[0], job+"/file_") {
		t.Fatalf("stored are %q, want the output and the owner; the process printed %s", stored, out.String())
	}
	_, id, _ := strings.Cut(stored[0], "/")
	r, err := store.Open(t.Context(), job, id)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil || !strings.Contains(string(text), "PATH=") || strings.Contains(string(text), jobstest.S3Secret) {
		t.Errorf("programs that a job runs get %s, %v", text, err)
	}
	jobstest.NoSecrets(t, out.String()+log.String())
}
