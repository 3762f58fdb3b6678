package client

import (
	"context"
	"encoding/json"
	"errors"
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
			if err := checkFile(path); err != nil {
				return BadArgument(err)
			}
		}
	}
	r, w := io.Pipe()
	form := multipart.NewWriter(w)
	written := make(chan error, 1)
	go func() {
		err := writeForm(form, body, files)
		w.CloseWithError(err)
		written <- err
	}()
	header = maps.Clone(header)
	header.Set("Content-Type", form.FormDataContentType())
	header.Set("Expect", "100-continue") // the server may refuse before the files are sent
	resp, err := c.withoutTimeout().sendBody(ctx, http.MethodPost, url, header, r)
	r.CloseWithError(errSent)
	if local := <-written; local != nil && !errors.Is(local, errSent) && !errors.Is(local, io.ErrClosedPipe) {
		return BadArgument(local)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(resp.body, v)
}

// errSent is the error of a form whose rest the server does not want.
var errSent = errors.New("the server has responded")

// checkFile returns why a file can't be sent.
func checkFile(path string) error {
	f, err := os.Open(path) //nolint:gosec // the user names it
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return errors.Join(err, fmt.Errorf("%s is a directory", path))
	}
	return nil
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
