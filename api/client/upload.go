package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"slices"
)

// Upload sends a multipart form (RFC 7578) with the members of body as fields and the files, paths by
// the names of their fields, and decodes the response like [Client.Call]. It has no timeout but that
// of ctx. Error: an [ArgumentError] for a file that can't be read, or one of [Client.Call].
func (c *Client) Upload(
	ctx context.Context, url string, header http.Header, body map[string]any, files map[string][]string, v any,
) error {
	for _, paths := range files {
		for _, path := range paths {
			f, err := os.Open(path) //nolint:gosec // the user names it
			if err != nil {
				return BadArgument(err)
			}
			f.Close()
		}
	}
	r, w := io.Pipe()
	form := multipart.NewWriter(w)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.CloseWithError(writeForm(form, body, files))
	}()
	defer func() {
		r.CloseWithError(io.ErrClosedPipe)
		<-done
	}()
	header = maps.Clone(header)
	header.Set("Content-Type", form.FormDataContentType())
	header.Set("Expect", "100-continue") // the server may refuse before the files are sent
	resp, err := c.withoutTimeout().sendBody(ctx, http.MethodPost, url, header, r)
	if err != nil {
		return err
	}
	return json.Unmarshal(resp.body, v)
}

// withoutTimeout returns the client without a timeout for its calls.
func (c *Client) withoutTimeout() *Client {
	return &Client{URL: c.URL, HTTP: &http.Client{Transport: c.HTTP.Transport}, header: c.header}
}

func writeForm(form *multipart.Writer, body map[string]any, files map[string][]string) error {
	for _, name := range slices.Sorted(maps.Keys(body)) {
		text, ok := body[name].(string)
		if !ok {
			b, err := json.Marshal(body[name])
			if err != nil {
				return err
			}
			text = string(b)
		}
		if err := form.WriteField(name, text); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		for _, path := range files[name] {
			if err := writeFile(form, name, path); err != nil {
				return fmt.Errorf("send %s: %w", path, err)
			}
		}
	}
	return form.Close()
}

func writeFile(form *multipart.Writer, name, path string) error {
	f, err := os.Open(path) //nolint:gosec // the user names it
	if err != nil {
		return err
	}
	defer f.Close()
	part, err := form.CreateFormFile(name, filepath.Base(path))
	if err != nil {
		return err
	}
	_, err = io.Copy(part, f)
	return err
}
