package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The program of the README is a service.
func TestReadmeProgram(t *testing.T) {
	s := newShell(t)
	const heading = "Run a program"
	yaml, sh := codeBlocks(t, "README.md", "yaml"), codeBlocks(t, "README.md", "sh")[heading]
	if len(sh) != 2 {
		t.Fatalf("%d commands", len(sh))
	}
	if err := os.WriteFile(filepath.Join(s.dir, "coatcheck.yaml"), []byte(one(t, yaml, heading)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start(sh[0])
	s.ready()
	contains(t, "the program", s.run(sh[1]), `"hello, Ada"`)
}

// The examples of docs/services.md work as they are printed.
func TestDocsServices(t *testing.T) {
	s := newShell(t)
	const doc = "docs/services.md"
	yaml, sh, python := codeBlocks(t, doc, "yaml"), codeBlocks(t, doc, "sh"), codeBlocks(t, doc, "python")
	const shell, script, slow = "A shell command", "A Python script", "A slow HTTP server"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, header, err := r.FormFile("audio")
		if err != nil {
			t.Error(err)
			return
		}
		defer file.Close()
		sound, err := io.ReadAll(file)
		fmt.Fprintf(w, `{"text": "hello", "request": %q}`,
			fmt.Sprint(r.Header.Get("Authorization"), " ", r.URL.RawQuery, " ", header.Filename, " ", string(sound), " ", err))
	}))
	defer server.Close()
	s.env = append(s.env, "WHISPER_KEY=a-secret-key")
	files := map[string]string{
		"coatcheck.yaml": one(t, yaml, shell) + strings.TrimPrefix(one(t, yaml, script), "commands:\n") +
			strings.ReplaceAll(one(t, yaml, slow), "http://127.0.0.1:9000", server.URL),
		"read.py": one(t, python, script), "speech.wav": "RIFF",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check, serve, _ := strings.Cut(strings.TrimSpace(sh[shell][0]), "\n")
	contains(t, "check", s.run(check), `is valid\. Services: .*disk\.usage`)
	s.start(serve)
	s.ready()
	contains(t, "a shell command", s.run(sh[shell][1]), `"status":"succeeded"`, `"output":"\d+\\t/usr/share/doc"`)
	contains(t, "a path elsewhere", s.run(strings.Replace(sh[shell][1], "/usr/share/doc", "/etc", 1)), `"status":422`, `body\.input\.path`)
	contains(t, "a Python script", s.run(one(t, sh, script)), `100%  page 3`, `info: page 1`, `\{"pages":3,"language":"en"\}`)
	answer := s.run(one(t, sh, slow))
	contains(t, "a slow server", answer, `"status":"succeeded"`, `"text":"hello"`, `Bearer a-secret-key language=en speech\.wav RIFF <nil>`)
	contains(t, "the page", s.run("curl -s http://127.0.0.1:5000/services/document.read"), `(?s)input\.pages.*input\.language`, `<option[^>]*>de`)
	contains(t, "OpenAPI", s.run("curl -s http://127.0.0.1:5000/openapi.json"), `/v1/services/disk\.usage/jobs`, `\^/usr/share/`)
}

// The example of docs/services.md that takes and returns a file works as it is printed, with a video
// that ffmpeg makes.
func TestDocsServicesFFmpeg(t *testing.T) {
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Skip("no ffmpeg: this test is not run")
	}
	s := newShell(t)
	const doc, section = "docs/services.md", "Files: ffmpeg"
	s.run("ffmpeg -v error -f lavfi -i testsrc=duration=2:size=640x480:rate=10 test.mp4 2>&1; echo made")
	config := one(t, codeBlocks(t, doc, "yaml"), section)
	if err := os.WriteFile(filepath.Join(s.dir, "coatcheck.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start("coatcheck serve --config coatcheck.yaml")
	s.ready()
	sh := codeBlocks(t, doc, "sh")[section]
	if len(sh) != 2 {
		t.Fatalf("%d commands", len(sh))
	}
	answer := s.run(sh[0])
	contains(t, "a thumbnail", answer, `"status":"succeeded"`, `"name":"thumbnail\.png","content_type":"image/png"`)
	contains(t, "the command line", s.run(sh[1]), `"name": *"thumbnail\.png"`)
	contains(t, "no video", s.run(strings.Replace(sh[0], "@test.mp4", "test.mp4", 1)), `"status":422`, `body\.input\.video`)
	url := regexp.MustCompile(`"output":\{"url":"([^"]+)"`).FindStringSubmatch(answer)
	if url == nil {
		t.Fatal("the output has no URL")
	}
	contains(t, "the file", s.run("curl -s "+url[1]+" | od -An -c -N 4"), `211 *P *N *G`)
}
