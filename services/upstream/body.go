package upstream

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/textproto"
	"net/url"
	"slices"

	"coatcheck/jobs"
	"coatcheck/services/spec"
)

// A body is the body of a request. Files in it are streamed.
type body struct {
	contentType string
	bytes       int64
	parts       []io.Reader
	files       []io.Closer
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	for len(b.parts) > 0 {
		n, err := b.parts[0].Read(p)
		if errors.Is(err, io.EOF) {
			b.parts = b.parts[1:]
			err = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.EOF
}

// Close closes the files.
func (b *body) Close() error {
	var errs []error
	for _, f := range b.files {
		errs = append(errs, f.Close())
	}
	b.files = nil
	return errors.Join(errs...)
}

func (b *body) addText(text []byte) {
	b.parts, b.bytes = append(b.parts, bytes.NewReader(text)), b.bytes+int64(len(text))
}

func (b *body) addFile(f *jobs.InputFile) {
	b.parts, b.bytes, b.files = append(b.parts, f), b.bytes+f.Bytes, append(b.files, f)
}

// newBody returns the body of the request, which the caller closes. Only errors of the values are
// permanent: a file may be readable later.
func (u *Upstream) newBody(ctx context.Context, values spec.Values, boundary string) (_ *body, err error) {
	b := new(body)
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	switch u.body {
	case bodyNone:
		return b, nil
	case bodyForm:
		form := make(url.Values)
		err := fields(values, func(name, value string) error {
			form.Add(name, value)
			return nil
		})
		b.contentType = "application/x-www-form-urlencoded"
		if err != nil {
			return b, errors.Join(err, jobs.ErrPermanent)
		}
		b.addText([]byte(form.Encode()))
		return b, nil
	case bodyMultipart:
		return b, u.addMultipart(ctx, b, values, boundary)
	case bodyRaw:
		refs, err := values.Refs(u.Schema.Files()[0])
		if err != nil {
			return b, errors.Join(err, jobs.ErrPermanent)
		}
		if len(refs) == 0 {
			return b, nil
		}
		f, err := jobs.OpenFile(ctx, refs[0])
		if err != nil {
			return b, err
		}
		b.contentType = f.ContentType
		b.addFile(f)
		return b, nil
	default:
		text, err := json.Marshal(values)
		b.contentType = "application/json"
		b.addText(text)
		return b, err
	}
}

// addMultipart adds the values as a multipart form (RFC 7578): first the fields, then the files.
func (u *Upstream) addMultipart(ctx context.Context, b *body, values spec.Values, boundary string) error {
	var text bytes.Buffer
	w := multipart.NewWriter(&text)
	if err := w.SetBoundary(boundary); err != nil {
		return err
	}
	plain := make(spec.Values)
	for name, value := range values {
		if !u.Schema.IsFile(name) {
			plain[name] = value
		}
	}
	if err := fields(plain, w.WriteField); err != nil {
		return errors.Join(err, jobs.ErrPermanent)
	}
	for _, name := range u.Schema.Files() {
		refs, err := values.Refs(name)
		if err != nil {
			return errors.Join(err, jobs.ErrPermanent)
		}
		for _, ref := range refs {
			f, err := jobs.OpenFile(ctx, ref)
			if err != nil {
				return fmt.Errorf("open the file %s of the input: %w", name, err)
			}
			if _, err := w.CreatePart(partHeader(name, f.File)); err != nil {
				return errors.Join(err, f.Close())
			}
			b.addText(bytes.Clone(text.Bytes()))
			b.addFile(f)
			text.Reset()
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	b.addText(text.Bytes())
	b.contentType = w.FormDataContentType()
	return nil
}

// partHeader returns the header of a file in a multipart form.
func partHeader(name string, f jobs.File) textproto.MIMEHeader {
	return textproto.MIMEHeader{
		"Content-Disposition": {multipart.FileContentDisposition(name, f.Name)},
		"Content-Type":        {f.ContentType},
	}
}

// fields calls add with each property as a field of a form: each item of a list, and an
// object as JSON. null is no field.
func fields(values spec.Values, add func(name, value string) error) error {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		var items []json.RawMessage
		if text := bytes.TrimSpace(values[name]); len(text) == 0 || text[0] != '[' {
			items = []json.RawMessage{values[name]}
		} else if err := json.Unmarshal(text, &items); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, item := range items {
			if string(item) == "null" {
				continue
			}
			text, err := spec.Values{name: item}.Text(name)
			if err != nil {
				return err
			}
			if err := add(name, text); err != nil {
				return err
			}
		}
	}
	return nil
}
