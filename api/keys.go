package api

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"coatcheck/api/problem"
	"coatcheck/jobs/keys"
	"coatcheck/jobs/schema"
)

type keySet struct {
	CacheControl string `header:"Cache-Control"`
	Body         struct {
		Keys []json.RawMessage `json:"keys" nullable:"false"`
	}
}

type keyList struct {
	Body struct {
		Data []keys.Key `json:"data" nullable:"false"`
	}
}

type newKey struct {
	keys.Key
	Secret string `json:"secret" doc:"whsec_…, shown this once."`
}

type newKeyResponse struct {
	CacheControl string `header:"Cache-Control"`
	Body         newKey
}

type rotateBody struct {
	Grace string `json:"grace,omitempty" default:"24h" doc:"How long the old secrets go on signing, up to 720h; 0s means not at all."`
}

// addKeys adds the operations on the keys that sign callbacks.
func (a *API) addKeys() {
	register(a, operation{
		id: "get-keys", method: http.MethodGet, path: "/.well-known/jwks.json", access: public, tag: "callbacks",
		summary:     "Get the public keys",
		description: "The keys that callbacks are signed with: a JWK Set (RFC 7517) of Ed25519 keys (RFC 8037).",
	}, func(ctx context.Context, _ *struct{}) (*keySet, error) {
		keys, err := a.Queue.Keys.Public(ctx)
		if err != nil {
			return nil, err
		}
		set := &keySet{CacheControl: "public, max-age=300"}
		set.Body.Keys = keys
		return set, nil
	})
	register(a, operation{
		id: "list-callback-keys", method: http.MethodGet, path: "/v1/callback-keys", access: userOnly, tag: "callbacks",
		summary:     "List your keys",
		description: "The keys that sign your callbacks: your secrets and the server's own key. What is secret is not shown.",
	}, func(ctx context.Context, _ *struct{}) (*keyList, error) {
		listed, err := a.Queue.Keys.List(ctx, InfoOf(ctx).User.Name)
		list := new(keyList)
		list.Body.Data = append([]keys.Key{}, listed...)
		return list, err
	})
	register(a, operation{
		id: "create-callback-key", method: http.MethodPost, path: "/v1/callback-keys", access: userOnly,
		tag: "callbacks", status: http.StatusCreated,
		summary:     "Create a secret",
		description: "The new secret signs your callbacks besides the existing ones. It is shown only once.",
	}, func(ctx context.Context, _ *struct{}) (*newKeyResponse, error) { return a.createKey(ctx, nil) })
	register(a, operation{
		id: "rotate-callback-keys", method: http.MethodPost, path: "/v1/callback-keys/rotate", access: userOnly,
		tag: "callbacks", status: http.StatusCreated,
		summary:     "Rotate the secrets",
		description: "Creates a secret that replaces the old ones. They go on signing for the grace period, so that receivers have time to change over.",
	}, func(ctx context.Context, req *bodyRequest) (*newKeyResponse, error) {
		body, err := bodyOf[rotateBody](ctx, a, req.RawBody)
		if err != nil {
			return nil, err
		}
		grace, err := time.ParseDuration(cmp.Or(body.Grace, "24h"))
		if err != nil || grace < 0 || grace > keys.MaxGrace {
			return nil, problem.Invalid([]schema.ProblemError{{
				Location: "body.grace", Message: "expected a duration from 0s to " + keys.MaxGrace.String(),
			}})
		}
		return a.createKey(ctx, &grace)
	})
	register(a, operation{
		id: "revoke-callback-key", method: http.MethodDelete, path: "/v1/callback-keys/{key}", access: userOnly,
		tag: "callbacks", status: http.StatusNoContent,
		summary: "Revoke a secret",
	}, func(ctx context.Context, req *struct {
		Key string `path:"key"`
	},
	) (*struct{}, error) {
		return nil, a.Queue.Keys.Revoke(ctx, InfoOf(ctx).User.Name, req.Key)
	})
}

// createKey creates a secret for the caller. With a grace period, the secret
// replaces the existing ones, which sign callbacks until the period ends.
func (a *API) createKey(ctx context.Context, grace *time.Duration) (*newKeyResponse, error) {
	key, secret, err := a.Queue.Keys.Create(ctx, InfoOf(ctx).User.Name, grace)
	return &newKeyResponse{CacheControl: "no-store", Body: newKey{key, secret}}, err
}
