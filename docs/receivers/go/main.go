// A receiver of Coatcheck's callbacks, with nothing but the standard library.
//
//	KEY=whpk_… ACCOUNT=alice PORT=8000 go run .
//
// It verifies the signature (Standard Webhooks 1.0) with the server's public
// key (v1a) or, when KEY is whsec_…, with the secret you share (v1), refuses the
// callbacks of other accounts, handles each callback once, and answers before it
// does slow work.
package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tolerance = 5 * time.Minute
	maxBody   = 1 << 20
)

// verify returns what is wrong. The body is the request's bytes.
func verify(key string, header http.Header, body []byte) error {
	id, timestamp := header.Get("webhook-id"), header.Get("webhook-timestamp")
	seconds, err := strconv.ParseUint(timestamp, 10, 40)
	if id == "" || err != nil {
		return errors.New("no webhook-id or no webhook-timestamp")
	}
	if time.Since(time.Unix(int64(seconds), 0)).Abs() > tolerance {
		return errors.New("too old, or the clocks differ")
	}
	kind, text, _ := strings.Cut(key, "_")
	secret, err := base64.StdEncoding.DecodeString(text)
	if err != nil || kind == "whpk" && len(secret) != ed25519.PublicKeySize || kind == "whsec" && len(secret) < 24 {
		return errors.New("KEY is neither whpk_… nor whsec_…")
	}
	signed := append([]byte(id+"."+timestamp+"."), body...)
	for signature := range strings.FieldsSeq(header.Get("webhook-signature")) {
		version, value, _ := strings.Cut(signature, ",")
		got, err := base64.StdEncoding.DecodeString(value)
		switch {
		case err != nil:
		case kind == "whpk" && version == "v1a" && ed25519.Verify(secret, signed, got):
			return nil
		case kind == "whsec" && version == "v1":
			mac := hmac.New(sha256.New, secret)
			mac.Write(signed)
			if hmac.Equal(mac.Sum(nil), got) {
				return nil
			}
		}
	}
	return errors.New("no signature matches")
}

func main() {
	account := cmp.Or(os.Getenv("ACCOUNT"), "local") // local, if the server has no users
	var mu sync.Mutex
	seen := make(map[string]bool) // in earnest: a table with the id as its key

	http.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			http.Error(w, "too large", http.StatusRequestEntityTooLarge)
			return
		}
		if err == nil {
			err = verify(os.Getenv("KEY"), r.Header, body)
		}
		var event struct {
			Type string
			Data struct {
				Account string
				Job     struct {
					ID     string
					Output json.RawMessage
				}
			}
		}
		if err == nil {
			err = json.Unmarshal(body, &event)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		// The server's one key signs for all its users.
		if event.Data.Account != account {
			http.Error(w, "not of the account "+account, http.StatusForbidden)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if id := r.Header.Get("webhook-id"); !seen[id] {
			fmt.Println(event.Type, event.Data.Job.ID, string(event.Data.Job.Output))
			seen[id] = true
		}
		w.WriteHeader(http.StatusNoContent)
	})
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "8000"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("Receiving at http://%s/\n", listener.Addr())
	log.Fatal((&http.Server{ReadTimeout: 10 * time.Second}).Serve(listener))
}
